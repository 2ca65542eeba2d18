// The README quotes the program that is built and run.

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

std::string contents(const char* file) {
  std::ifstream in(std::filesystem::path(GREENTRAINER_SOURCE_DIR) / file);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("the README's program is examples/finetune.cpp") {
  const std::string program = contents("examples/finetune.cpp");
  const std::string body = program.substr(program.find('\n') + 1);  // without the line that says how it is called
  REQUIRE(body.size() > 100);
  CHECK(contents("README.md").find("```cpp\n" + body + "```") != std::string::npos);
}
