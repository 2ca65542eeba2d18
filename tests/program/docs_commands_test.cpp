// The commands that pages show are run as they stand.

#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// The program's commands among a page's indented lines, each with the lines that its backslashes add.
std::vector<std::string> commands_of(const std::string& page) {
  std::vector<std::string> commands;
  bool goes_on = false;
  for (std::size_t at = 0; at < page.size();) {
    const std::size_t end = std::min(page.find('\n', at), page.size());
    std::string line = page.substr(at, end - at);
    at = end + 1;
    if (!goes_on && !line.starts_with("    greentrainer ")) continue;
    const bool again = goes_on;
    goes_on = line.ends_with('\\');
    if (goes_on) line.pop_back();
    if (again)
      commands.back() += line;
    else
      commands.push_back(line);
  }
  return commands;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

}  // namespace

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
