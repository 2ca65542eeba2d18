// The commands that pages show are run as they stand.

#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "program/page_commands.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("every command of the program's page runs, one after the other") {
  const TemporaryFolder folder;
  const std::vector<std::string> commands = commands_of(contents(source_path("docs/program.md")));
  CHECK(commands.size() >= 5);
  for (const std::string& command : commands) {
    const std::string here = replaced(command, "/tmp/", (folder / "").string());
    const std::string line = "cd '" + source_path("").string() + "' && PATH='" + program_path().parent_path().string() +
                             "':\"$PATH\" " + here + " > '" + (folder / "out").string() + "' 2>&1";
    CAPTURE(command);
    const int status = std::system(line.c_str());
    CHECK_MESSAGE(status == 0, contents(folder / "out"));
  }
}
