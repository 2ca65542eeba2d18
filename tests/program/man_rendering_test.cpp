// The manual page as man shows it.

#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "program/run_program.hpp"
#include "support/skip.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("man renders the page without a warning") {
  if (std::system("command -v man >/dev/null && command -v groff >/dev/null") != 0)
    GREENTRAINER_SKIP("man or groff is not here");
  const TemporaryFolder folder;
  const std::string page = folder.write("greentrainer.1", run_program({"man"}).out).string();
  const std::string text = (folder / "text").string(), warnings = (folder / "warnings").string();
  const std::string command =
      "MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -l '" + page + "' > '" + text + "' 2> '" + warnings + "'";
  CHECK(std::system(command.c_str()) == 0);
  CHECK(contents(warnings) == "");
  CHECK(contents(text).find("--learning-rate") != std::string::npos);
}
