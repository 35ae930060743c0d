// The loop that pfd_bench is compared with: the same engine, no supervisor, no samples, two
// clock readings around all inferences. Prints the mean of each block in ns.

#include "clock.h"
#include "modules.h"
#include "pinning.h"
#include "tensors.h"

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fputs("pfd_bare_loop ENGINE MODEL THREADS MASK WARMUP INFERENCES BLOCKS\n", stderr);
    return 2;
  }
  try {
    if (argv[4][0] != '\0') pfd::pin(argv[4]);
    const auto engine = pfd::open_engine(pfd::program_folder(argv[0]), argv[1]);
    engine->describe();
    engine->load({argv[2], std::atoi(argv[3]), false});
    const pfd::TensorFiles files({}, {}, engine->inputs(), engine->output_infos());
    engine->set_inputs(files.inputs(0));
    for (int i = std::atoi(argv[5]); i > 0; --i) engine->invoke();
    const int inferences = std::atoi(argv[6]);
    for (int block = std::atoi(argv[7]); block > 0; --block) {
      const auto begin = pfd::now_ns();
      for (int i = 0; i < inferences; ++i) engine->invoke();
      std::printf("%.1f\n", static_cast<double>(pfd::now_ns() - begin) / inferences);
    }
    std::fflush(stdout);
    _Exit(0);
  } catch (const pfd::EngineError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}
