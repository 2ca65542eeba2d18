// greentrainer doctor and greentrainer completion.

#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// What bash offers for a command line whose last word is being typed.
std::string offered(const TemporaryFolder& folder, const std::string& words) {
  const std::string script =
      folder
          .write("complete.sh", "source '" + (folder / "bash").string() + "'\nCOMP_WORDS=(" + words +
                                    ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
                                    "_greentrainer\necho \"${COMPREPLY[@]}\"\n")
          .string();
  const std::string out = (folder / "out").string();
  REQUIRE(std::system(("bash '" + script + "' > '" + out + "'").c_str()) == 0);
  return contents(out);
}

}  // namespace

TEST_CASE("doctor says what the machine and the build can do") {
  const Outcome outcome = run_program({"doctor", "--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json json = outcome.json();
  CHECK(json["peak_flops"].get<double>() > 1e8);
  CHECK(json["memory_bytes"].get<Bytes>() >= json["available_memory_bytes"].get<Bytes>());
  CHECK(json["available_memory_bytes"].get<Bytes>() > 0);
  CHECK(json["free_disk_bytes"].get<Bytes>() > 0);
  CHECK(json["backend"].get<std::string>().starts_with("eigen"));
  for (const char* key : {"build", "native", "processor", "instruction_sets", "gpu", "energy", "times_of_operators"})
    CHECK(json.contains(key));
  CHECK((json["energy"] == "measured") == json["energy_reason"].is_null());
  const Outcome table = run_program({"doctor"});
  CHECK(table.status == 0);
  CHECK(table.out.find("measured peak") != std::string::npos);
}

TEST_CASE("bash completes commands, options and the values of those that have a list") {
  const TemporaryFolder folder;
  folder.write("bash", run_program({"completion", "bash"}).out);
  CHECK(offered(folder, "greentrainer fine") == "finetune\n");
  const std::string options = offered(folder, "greentrainer finetune --me");
  CHECK(options.find("--method") != std::string::npos);
  CHECK(options.find("--memory-limit") != std::string::npos);
  CHECK(options.find("--json") == std::string::npos);
  CHECK(offered(folder, "greentrainer finetune --budget-cuts s") == "steps\n");
  CHECK(offered(folder, "greentrainer finetune --train exa") == "\n");  // a file: the shell's own
}

TEST_CASE("the other shells' completions name every command, and another shell is refused") {
  const std::string fish = run_program({"completion", "fish"}).out;
  for (const char* command : {"plan", "select", "finetune", "evaluate", "generate", "chat", "export", "experiment",
                              "compare", "calibrate", "advise", "doctor", "completion"})
    CHECK(fish.find(std::string("-f -a ") + command + " -d ") != std::string::npos);
  CHECK(fish.find("-l budget-cuts -x -a 'batch steps'") != std::string::npos);
  CHECK(run_program({"completion", "zsh"}).out.find("bashcompinit") != std::string::npos);
  const Outcome other = run_program({"completion", "tcsh"});
  CHECK(other.status == 2);
  CHECK(other.err.find("SHELL: expected bash, zsh or fish, got tcsh") != std::string::npos);
}
