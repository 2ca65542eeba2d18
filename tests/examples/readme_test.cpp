// Pages quote programs that are built and run.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>

#include "support/paths.hpp"

namespace {

std::string contents(const char* file) {
  std::ifstream in(greentrainer::testing::source_folder() / file);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("the README's program is examples/finetune.cpp") {
  const std::string program = contents("examples/finetune.cpp");
  const std::string body = program.substr(program.find('\n') + 1);  // without the line that says how it is called
  REQUIRE(body.size() > 100);
  CHECK(contents("README.md").find("```cpp\n" + body + "```") != std::string::npos);
}

TEST_CASE("the backend of a few lines in backends/README.md is that of examples/trace_kernels.cpp") {
  const std::string program = contents("examples/trace_kernels.cpp");
  const auto begin = program.find("template <gt::Backend B>"), end = program.find("int main");
  REQUIRE(begin < end);
  REQUIRE(end != std::string::npos);
  CHECK(contents("backends/README.md").find("```cpp\n" + program.substr(begin, end - 1 - begin) + "```") !=
        std::string::npos);
}

TEST_CASE("the code of docs/library.md is that of the examples") {
  const std::string page = contents("docs/library.md"), program = contents("examples/own_parts.cpp") +
                                                                  contents("examples/regression.cpp") +
                                                                  contents("examples/classify.cpp");
  std::size_t quoted = 0;
  for (std::size_t at = page.find("```cpp\n"); at != std::string::npos; at = page.find("```cpp\n", at)) {
    at += 7;
    const std::string code = page.substr(at, page.find("```", at) - at);
    CAPTURE(code);
    CHECK(program.find(code) != std::string::npos);
    at += code.size() + 3;
    ++quoted;
  }
  CHECK(quoted == 9);
}
