// Stochastic rounding is right in the mean, and leaves alone what a type holds.

#include "greentrainer/io/stochastic_rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

std::vector<float> rounded(DType dtype, std::string_view name, const std::vector<float>& values) {
  const auto bytes = encode_stochastically<float>(dtype, name, values);
  std::vector<float> out(values.size());
  decode_floats<float>(dtype, bytes, out);
  return out;
}

}  // namespace

TEST_CASE("many roundings of a value have its mean, and are its two neighbours") {
  constexpr std::size_t count = 100'000;
  struct Case {
    DType dtype;
    float value, below, above;
  };
  const Case cases[] = {
      {DType::bfloat16, 1.001F, 1.0F, 1.0078125F},      // 2^-7 apart from 1 on
      {DType::bfloat16, -1.007F, -1.0078125F, -1.0F},   //
      {DType::bfloat16, 0.9999F, 0.99609375F, 1.0F},    // 2^-8 apart below 1
      {DType::bfloat16, 1e-40F, 0x1p-133F, 0x1p-132F},  // subnormal: 2^-133 apart
      {DType::float16, 1.0001F, 1.0F, 1.0009765625F},   // 2^-10
      {DType::float16, 1e-8F, 0.0F, 0x1p-24F},         {DType::float16, -1e-8F, -0x1p-24F, 0.0F},
  };
  for (const Case& c : cases) {
    CAPTURE(c.value);
    const auto values = rounded(c.dtype, "w", std::vector<float>(count, c.value));
    double sum = 0;
    for (const float v : values) {
      REQUIRE((v == c.below || v == c.above));
      sum += v;
    }
    const double step = double{c.above} - double{c.below}, share = (double{c.value} - double{c.below}) / step;
    const double deviation = step * std::sqrt(share * (1 - share) / static_cast<double>(count));
    CHECK(std::abs(sum / static_cast<double>(count) - double{c.value}) < 5 * deviation);
  }
}

TEST_CASE("what the type holds stays, and so do values without a finite neighbour beyond them") {
  const std::vector<float> held = {0.0F, -0.0F, 1.0F, -1.5F, 0.0078125F, 256.0F, 0x1p-133F};
  const auto kept = rounded(DType::bfloat16, "w", held);
  for (std::size_t i = 0; i < held.size(); ++i) {
    CHECK(kept[i] == held[i]);
    CHECK(std::signbit(kept[i]) == std::signbit(held[i]));
  }
  const std::vector<float> large(1000, 65510.0F);  // float16 ends at 65504
  for (const float v : rounded(DType::float16, "w", large)) REQUIRE(v == 65504.0F);
  CHECK(std::isinf(rounded(DType::float16, "w", {1e5F})[0]));
  CHECK(std::isnan(rounded(DType::bfloat16, "w", {std::numeric_limits<float>::quiet_NaN()})[0]));
}

TEST_CASE("rounding is a function of values and name; wide types are not rounded") {
  const std::vector<float> values(1000, 0.3F);
  CHECK(rounded(DType::bfloat16, "a", values) == rounded(DType::bfloat16, "a", values));
  CHECK(rounded(DType::bfloat16, "a", values) != rounded(DType::bfloat16, "b", values));
  CHECK(rounded(DType::float32, "a", values) == values);
}

TEST_CASE("parts of a tensor get the codes that they have among all, wherever they begin") {
  std::vector<float> values;
  for (int i = 0; i < 23; ++i) values.push_back(0.37F * static_cast<float>(i) - 3.1F);
  const auto whole = encode_stochastically<float>(DType::bfloat16, "w", values);
  for (std::size_t first = 0; first < values.size(); ++first) {
    CAPTURE(first);
    const auto part = encode_stochastically<float>(DType::bfloat16, "w", std::span(values).subspan(first), first);
    CHECK(std::ranges::equal(part, std::span(whole).subspan(2 * first)));
  }
}
