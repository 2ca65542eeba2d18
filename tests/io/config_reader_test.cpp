#include "greentrainer/io/config_reader.hpp"

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {
ConfigReader reader(std::string_view json) { return {parse_json(json, "config.json"), "config.json"}; }
}  // namespace

TEST_CASE("fields are read as the types they have") {
  const auto config = reader(R"({"i": 12, "d": 1e-5, "s": "relu", "b": true, "l": [1, 2], "n": null, "whole": 2.0})");
  CHECK(config.get<Extent>("i") == 12);
  CHECK(config.get<double>("d") == 1e-5);
  CHECK(config.get<double>("i") == 12.0);
  CHECK(config.get<std::string>("s") == "relu");
  CHECK(config.get<bool>("b"));
  CHECK(config.get<std::vector<int>>("l") == std::vector<int>{1, 2});
  CHECK(config.get_or<Extent>("n", 7) == 7);
  CHECK(config.get_or<Extent>("absent", 8) == 8);
  CHECK_FALSE(config.has("n"));
}

TEST_CASE("wrong types and ranges are ConfigErrors that name file and field") {
  const auto config = reader(
      R"({"i": -3, "zero": 0, "d": 1.5, "s": "relu", "big": 18446744073709551615, "l": [1, "x"], "t": 5000000000})");
  for (const auto& what :
       {error_of<ConfigError>([&] { config.get<Extent>("s"); }), error_of<ConfigError>([&] { config.get<bool>("s"); }),
        error_of<ConfigError>([&] { config.get<std::string>("i"); }),
        error_of<ConfigError>([&] { config.get<Extent>("d"); }),
        error_of<ConfigError>([&] { config.get<Extent>("big"); }),
        error_of<ConfigError>([&] { config.get<Index>("t"); }),
        error_of<ConfigError>([&] { config.get<std::vector<int>>("l"); }),
        error_of<ConfigError>([&] { config.get<int>("absent"); }), error_of<ConfigError>([&] { config.positive("i"); }),
        error_of<ConfigError>([&] { config.positive("zero"); }), error_of<ConfigError>([&] { config.positive("t"); }),
        error_of<ConfigError>([&] { config.get_or<bool>("d", true); }),
        error_of<ConfigError>([&] { config.section("i"); })}) {
    CAPTURE(what);
    CHECK(has(what, "config.json, field \""));
  }
  CHECK(config.positive("t", Extent{1} << 40) == 5'000'000'000);
  CHECK_THROWS_AS(reader("[1]"), ConfigError);
}

TEST_CASE("fields that change the mathematics are honoured or refused, never ignored") {
  const auto config = reader(
      R"({"attention_bias": false, "head_dim": null, "rope_scaling": {"factor": 2}, "hidden_act": "silu", "extra": 1})");
  config.expect_value("attention_bias", false);
  config.expect_value("absent", 3);
  config.refuse("head_dim", "...");
  CHECK(has(error_of<ConfigError>([&] { config.refuse("rope_scaling", "scaled rotary embeddings are not supported"); }),
            "scaled rotary"));
  const auto what = error_of<ConfigError>([&] { config.expect_value("hidden_act", "gelu"); });
  CHECK(has(what, "expected \"gelu\", got \"silu\""));
  CHECK(config.unread() == std::vector<std::string>{"extra"});
  config.ignore({"extra"});
  CHECK(config.unread().empty());
}

TEST_CASE("sections are readers of their own") {
  const auto config = reader(R"({"rope": {"theta": 10000.0, "type": "default"}})");
  const auto rope = config.section("rope");
  REQUIRE(rope);
  CHECK(rope->get<double>("theta") == 10000.0);
  CHECK(rope->unread() == std::vector<std::string>{"type"});
  CHECK(config.unread().empty());
  CHECK_FALSE(config.section("absent"));
  CHECK(has(error_of<ConfigError>([&] { rope->get<Extent>("type"); }), "field \"rope\", field \"type\""));
}
