// Which line an object of a JSON file begins on, whatever the strings around it hold.

#include "greentrainer/io/json_object_lines.hpp"

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"

using namespace greentrainer;

TEST_CASE("every object has the line of its brace") {
  const std::string text =
      "\n{\"b\": [{\"text\": \"{ \\\" { \\\\\"},\n\n  {\"nested\":\n {}}], \"a\":\n\n{\"x\": 1}, \"empty\": {}}";
  const auto root = parse_json<OrderedJson>(text, "test");
  const JsonObjectLines lines(text, root);
  CHECK(lines.line_of(root) == 2);
  CHECK(lines.line_of(root["b"][0]) == 2);
  CHECK(lines.line_of(root["b"][1]) == 4);
  CHECK(lines.line_of(root["b"][1]["nested"]) == 5);
  CHECK(lines.line_of(root["a"]) == 7);  // after "b", though it sorts before it
  CHECK(lines.line_of(root["empty"]) == 7);
}
