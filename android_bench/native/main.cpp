// pfd_bench: loads one model in one process, checks it, times it and writes JSON lines to
// stdout. docs/harness-protocol.md describes the command line and every line that comes out.

#include "job.h"
#include "modules.h"
#include "readings.h"
#include "supervisor.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>

namespace {

using namespace pfd;

constexpr int kProtocol = 1;

Json hello(const Options& options) {
  Json json;
  json.begin_object().field("type", options.mode == Mode::kDescribe ? "describe" : "hello");
  json.field("protocol", kProtocol).field("version", PFD_VERSION);
  return json;
}

int describe(const Options& options, const std::string& folder) {
  utsname system{};
  uname(&system);
  Json json = hello(options);
  json.field("target", PFD_TARGET).field("compiler", PFD_COMPILER).field("machine", system.machine);
  json.key("engines").begin_array();
  for (const auto& engine : describe_engines(folder)) {
    json.begin_object().field("name", engine.name).field("version", engine.version);
    json.field("suffixes", engine.suffixes).field("libraries", engine.libraries);
    json.field("unavailable", engine.unavailable).end_object();
  }
  json.end_array().end_object();
  return std::puts(json.text().c_str()) < 0 ? exit_status(Outcome::kEnvironment) : 0;
}

// The one record of a run that never began.
int refuse(const std::string& message, Outcome outcome) {
  Json json;
  json.begin_object().field("type", "end").field("status", outcome_name(outcome));
  json.field("stage", stage_name(Stage::kStart)).field("message", message).field("signal", 0);
  json.field("samples", 0).field("at_ns", now_ns()).end_object();
  std::puts(json.text().c_str());
  return exit_status(outcome);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  try {
    options = parse_options(argc, argv);
  } catch (const UsageError& error) {
    return refuse(std::string(error.what()) + "; usage: " + usage(), Outcome::kRefused);
  }
  if (!options.host_version.empty() && options.host_version != PFD_VERSION) {
    return refuse("this is version " PFD_VERSION " and the host is " + options.host_version +
                  ": build the harness again", Outcome::kEnvironment);
  }
  const std::string folder = program_folder(argv[0]);
  if (options.mode == Mode::kDescribe) return describe(options, folder);
  return supervise(options.timeout_ns, [&](Channel& channel) {
    Json json = hello(options);
    json.field("mode", mode_name(options.mode)).field("pid", static_cast<std::int64_t>(getpid()));
    json.field("handicap_ppm", options.handicap_ppm).field("at_ns", now_ns());
    channel.write(json.end_object());
    return run_job(options, folder, channel);
  });
}
