#include "greentrainer/core/position_bias.hpp"

#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

Json golden() { return read_json_file(testing::source_folder() / "tests/golden/models/position_biases.json"); }

}  // namespace

TEST_CASE("ALiBi's slopes are those of transformers, also where the number of heads is no power of two") {
  const Json all = golden();
  CHECK(all.at("alibi_slopes").size() == 8);
  for (const auto& [heads, slopes] : all.at("alibi_slopes").items()) {
    CAPTURE(heads);
    for (std::size_t h = 0; h < slopes.size(); ++h) {
      CAPTURE(h);
      CHECK(alibi_slope(std::stoll(heads), static_cast<Extent>(h)) ==
            doctest::Approx(slopes[h].get<double>()).epsilon(1e-6));
    }
  }
  static_assert(alibi_slope(8, 0) == 0.5);  // known to the compiler
  static_assert(alibi_slope(8, 7) == 1.0 / 256);
}

TEST_CASE("Buckets of relative positions are those of transformers, to the border") {
  const Json all = golden();
  CHECK(all.at("relative_buckets").size() == 6);
  for (const auto& row : all.at("relative_buckets")) {
    const RelativeBias bias{
        .buckets = row.at("buckets"), .max_distance = row.at("max_distance"), .bidirectional = row.at("bidirectional")};
    CAPTURE(bias.buckets);
    CAPTURE(bias.bidirectional);
    const auto& buckets = row.at("of_distance");
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      const Extent distance = static_cast<Extent>(i) - 400;
      CAPTURE(distance);
      CHECK(relative_bucket(bias, distance) == buckets[i].get<Extent>());
    }
  }
  static_assert(relative_bucket({.buckets = 32}, 64) == 16 + 14);
}
