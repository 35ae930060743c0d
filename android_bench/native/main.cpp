// pfd_bench: loads one model in one process, checks it, times it and writes JSON lines to
// stdout. docs/harness-protocol.md describes the command line and every line that comes out.

#include "heat.h"
#include "hello.h"
#include "job.h"
#include "modules.h"
#include "supervisor.h"

#include <sys/utsname.h>

#include <csignal>
#include <cstdio>

namespace {

using namespace pfd;

int describe(const std::string& folder) {
  utsname system{};
  uname(&system);
  Json json;
  json.begin_object().field("type", "describe");
  json.field("protocol", kProtocol).field("version", kVersion);
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
  Json json = end_line({outcome}, Stage::kStart, message, 0);
  std::puts(json.end_object().text().c_str());
  return exit_status(outcome);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is an error of write()
  Options options;
  try {
    options = parse_options(argc, argv);
  } catch (const UsageError& error) {
    return refuse(std::string(error.what()) + "; usage: " + usage(), Outcome::kRefused);
  }
  if (!options.host_version.empty() && options.host_version != kVersion) {
    return refuse(std::string("this is version ") + kVersion + " and the host is " +
                  options.host_version + ": build the harness again", Outcome::kEnvironment);
  }
  const std::string folder = program_folder(argv[0]);
  if (options.mode == Mode::kDescribe) return describe(folder);
  if (options.mode == Mode::kHeat) return run_heat(options, folder);
  return supervise(options.timeout_ns,
                   [&](Channel& channel) { return run_job(options, folder, channel); });
}
