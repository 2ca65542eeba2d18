#include "greentrainer/io/json.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("parse_json names source and line of a syntax error") {
  const auto what = error_of<LoadError>([] { parse_json("{\n\"a\": 1,\n\"b\": }\n", "some.json"); });
  CHECK(has(what, "some.json, line 3"));
  CHECK(has(error_of<LoadError>([] { parse_json("", "empty.json"); }), "empty.json"));
  CHECK(has(error_of<LoadError>([] { parse_json("{\"a\": \"\xff\"}", "bytes.json"); }), "bytes.json"));
  CHECK(has(error_of<LoadError>([] { parse_json("[1e999]", "big.json"); }), "big.json"));
}

TEST_CASE("parse_json refuses keys that are there twice, at any depth, but not in different objects") {
  CHECK(has(error_of<LoadError>([] { parse_json(R"({"a": 1, "a": 2})", "x"); }), "\"a\" twice"));
  CHECK(has(error_of<LoadError>([] { parse_json(R"([{"b": {"c": 1, "c": 1}}])", "x"); }), "\"c\" twice"));
  CHECK(parse_json(R"([{"a": {"a": 1}}, {"a": 2}])", "x")[1]["a"] == 2);
  std::string many = "[{}";
  for (int i = 1; i < 500000; ++i) many += ",{}";
  CHECK(parse_json(many + "]", "x").size() ==
        500000);  // at once: a minute, were all looked through again at the end of each
}

TEST_CASE("parse_json refuses deep nesting before it builds anything") {
  CHECK(parse_json(std::string(100, '[') + std::string(100, ']'), "x").is_array());
  CHECK(has(error_of<LoadError>([] { parse_json(std::string(101, '[') + std::string(101, ']'), "x"); }), "nested"));
  CHECK_THROWS_AS(parse_json(std::string(10'000'000, '['), "x"), LoadError);
  CHECK(parse_json("\"" + std::string(1000, '[') + "\\\"[\"", "x").is_string());  // brackets in texts are not nesting
}

TEST_CASE("ordered JSON keeps the order of keys and has a limit on them") {
  CHECK(parse_json<OrderedJson>(R"({"z": 1, "a": 2, "m": 3})", "x").dump() == R"({"z":1,"a":2,"m":3})");
  std::string many = "{";
  for (std::size_t i = 0; i <= max_ordered_json_keys; ++i) many += (i ? ",\"" : "\"") + std::to_string(i) + "\":0";
  CHECK_THROWS_AS(parse_json<OrderedJson>(many + "}", "x"), LoadError);
  CHECK(parse_json(many + "}", "x").size() == max_ordered_json_keys + 1);
}

TEST_CASE("read_json_file names the file") {
  TemporaryFolder folder;
  CHECK(read_json_file(folder.write("a.json", "\xEF\xBB\xBF{\"a\": [1]}"))["a"][0] == 1);
  CHECK(has(error_of<LoadError>([&] { read_json_file(folder / "absent.json"); }), "absent.json"));
  CHECK(has(error_of<LoadError>([&] { read_json_file(folder.write("cut.json", "{\"a\"")); }), "cut.json"));
}
