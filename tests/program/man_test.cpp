// greentrainer man.

#include <string>

#include <doctest/doctest.h>

#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("the manual page has every command, and every option that the help of finetune has") {
  const Outcome page = run_program({"man"});
  REQUIRE_MESSAGE(page.status == 0, page.err);
  for (const char* command : {"plan", "select", "finetune", "evaluate", "generate", "chat", "export", "experiment",
                              "compare", "calibrate", "advise", "doctor", "completion", "man"})
    CHECK(page.out.find(std::string(".SS ") + command + "\n") != std::string::npos);

  const std::string help = run_program({"finetune", "--help"}).out;
  std::size_t options = 0;
  for (std::size_t at = help.find("\n  --"); at != std::string::npos; at = help.find("\n  --", at + 1)) {
    std::string name = help.substr(at + 5, help.find_first_of(" \n", at + 5) - at - 5);
    for (std::size_t hyphen = name.find('-'); hyphen != std::string::npos; hyphen = name.find('-', hyphen + 2))
      name.insert(hyphen, "\\");
    CAPTURE(name);
    CHECK(page.out.find("\\fB\\-\\-" + name + "\\fR") != std::string::npos);
    ++options;
  }
  CHECK(options > 40);
}
