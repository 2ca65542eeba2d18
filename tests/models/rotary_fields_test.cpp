// Scaled rotary frequencies are those of transformers' ROPE_INIT_FUNCTIONS, in double precision.

#include "greentrainer/models/rotary_fields.hpp"

#include <doctest/doctest.h>

#include "greentrainer/core/rotary_frequencies.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

TEST_CASE("each kind of scaled frequencies is that of transformers") {
  const Json golden = read_json_file(testing::source_folder() / "tests/golden/architectures/rotary_frequencies.json");
  REQUIRE(golden.size() == 8);
  for (const Json& line : golden) {
    CAPTURE(line["parameters"].dump());
    const ConfigReader config(Json{{"rope_parameters", line["parameters"]}}, "config.json");
    const RotaryShape shape = rotary_from(config, 16, 64);
    const auto expected = line["frequencies"].get<std::vector<double>>();
    const std::vector<double> frequencies = rotary_frequencies(shape);
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
  CHECK(has(error({{"rope_type", "longrope"}, {"factor", 4}}), "\"rope_type\""));
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
