// Scaled rotary frequencies are those of transformers' ROPE_INIT_FUNCTIONS, in double precision.

#include "greentrainer/models/rotary_fields.hpp"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/rotary_frequencies.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

TEST_CASE("each kind of scaled frequencies is that of transformers") {
  const Json golden = read_json_file(testing::source_folder() / "tests/golden/architectures/rotary_frequencies.json");
  REQUIRE(golden.size() == 14);
  for (const Json& line : golden) {
    CAPTURE(line["parameters"].dump());
    const ConfigReader config(Json{{"rope_parameters", line["parameters"]}}, "config.json");
    const RotaryShape shape = rotary_from(config, 16, 64);
    const auto expected = line["frequencies"].get<std::vector<double>>();
    const Extent tokens = line.value("tokens", Extent{0});  // of a sequence, where they count
    const std::vector<double> frequencies = rotary_frequencies(rotary_of_length(shape, tokens));
    REQUIRE(frequencies.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(frequencies[i] == doctest::Approx(expected[i]).epsilon(1e-13));
    CHECK(shape.amplitude == doctest::Approx(line["amplitude"].get<double>()).epsilon(1e-14));
  }
}

TEST_CASE("a rotary field that is out of range, or of another kind, is refused by name") {
  const auto error = [](const Json& parameters, const RotaryDefaults& defaults = {}) -> std::string {
    try {
      rotary_from(ConfigReader(Json{{"rope_parameters", parameters}}, "config.json"), 16, 64, defaults);
      return "";
    } catch (const ConfigError& refused) {
      return refused.what();
    }
  };
  const auto has = [](const std::string& message, const char* part) { return message.find(part) != std::string::npos; };
  CHECK(has(error({{"rope_type", "axial"}, {"factor", 4}}), "\"rope_type\""));
  const std::vector<double> eight(8, 1.5);
  const Json longrope = {{"rope_type", "longrope"}, {"short_factor", eight}, {"long_factor", eight}};
  const auto with = [&](const char* field, const Json& value) {
    Json changed = longrope;
    changed[field] = value;
    return changed;
  };
  CHECK(error(longrope).empty());
  CHECK(has(error({{"rope_type", "longrope"}, {"factor", 4}}), "\"short_factor\""));
  CHECK(has(error(with("long_factor", {1, 2, 3})), "\"long_factor\""));
  CHECK(has(error(with("short_factor", {1, 2, 3, 4, 5, 6, 7, 0})), "\"short_factor\""));
  CHECK(has(error(with("attention_factor", -1)), "\"attention_factor\""));
  CHECK(has(error(with("beta_fast", 1)), "\"beta_fast\""));
  CHECK(has(error({{"rope_type", "linear"}}), "\"factor\""));
  CHECK(has(error({{"rope_type", "linear"}, {"factor", -1}}), "\"factor\""));
  CHECK(has(error({{"rope_type", "linear"}, {"factor", 2}, {"beta_fast", 3}}), "\"beta_fast\""));
  CHECK(has(error({{"rope_type", "llama3"}, {"factor", 2}, {"low_freq_factor", 4}, {"high_freq_factor", 1}}),
            "\"high_freq_factor\""));
  CHECK(has(error({{"rope_theta", 0}}), "\"rope_theta\""));
  CHECK(has(error({{"rope_type", "linear"}, {"factor", 2}, {"partial_rotary_factor", 0.5}}),
            "\"partial_rotary_factor\""));
  const RotaryDefaults followed{.follows_rotated_share = true};
  CHECK(has(error({{"partial_rotary_factor", 0.3}}, followed), "which is 4") == false);  // 4 of 16: cut off, and even
  CHECK(has(error({{"partial_rotary_factor", 0.2}}, followed), "which is 3"));
  CHECK(has(error({{"partial_rotary_factor", 1.5}}, followed), "\"partial_rotary_factor\""));
  CHECK(error({{"rope_type", "dynamic"}, {"factor", 4}}).empty());
}

TEST_CASE("Phi-3's original context is that of its own field, and the old names of longrope are followed") {
  const RotaryDefaults phi3{.original_positions = 4096, .longrope_alone = true};
  const std::vector<double> eight(8, 1.5);
  for (const char* type : {"longrope", "su", "yarn"}) {
    CAPTURE(type);
    const Json scaling = {
        {"type", type}, {"short_factor", eight}, {"long_factor", eight}, {"original_max_position_embeddings", 8}};
    const RotaryShape shape = rotary_from(ConfigReader(Json{{"rope_scaling", scaling}}, "config.json"), 16, 8192, phi3);
    CHECK(shape.scaling.kind == RotaryScaling::Kind::longrope);
    CHECK(shape.scaling.original_positions == 4096);
    CHECK(shape.amplitude == doctest::Approx(std::sqrt(1 + std::log(2.0) / std::log(4096.0))));
  }
  const Json linear = {{"rope_type", "linear"}, {"factor", 2}};
  CHECK_THROWS_AS(rotary_from(ConfigReader(Json{{"rope_scaling", linear}}, "config.json"), 16, 8192, phi3),
                  ConfigError);
}
