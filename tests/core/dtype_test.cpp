// Element types: names, and rounding to the nearest of two halves.

#include "greentrainer/core/dtype.hpp"

#include <limits>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

/// Checks float -> 16 bits on both sides of, and at, the middle between neighbours: the nearer one, and at the middle
/// the one whose last bit is 0.
template <class Encode, class Decode>
std::size_t wrongly_rounded(Encode encode, Decode decode, std::uint16_t infinity) {
  std::size_t wrong = 0;
  for (std::uint16_t bits = 0; bits + 1 < infinity; ++bits) {
    const auto next = static_cast<std::uint16_t>(bits + 1);
    const float low = decode(bits), high = decode(next),
                middle = low + (high - low) / 2;  // exact: a float has more bits
    const std::uint16_t even = bits % 2 == 0 ? bits : next;
    wrong += encode(low) != bits || encode(std::nextafter(middle, low)) != bits ||
                     encode(std::nextafter(middle, high)) != next || encode(middle) != even
                 ? 1
                 : 0;
    wrong += encode(-middle) != (even | 0x8000) ? 1 : 0;
  }
  return wrong;
}

}  // namespace

TEST_CASE("float16 and bfloat16 are the nearest, ties to even, subnormal numbers included") {
  CHECK(wrongly_rounded(float_to_float16, float16_to_float, 0x7c00) == 0);
  CHECK(wrongly_rounded(float_to_bfloat16, bfloat16_to_float, 0x7f80) == 0);
}

TEST_CASE("beyond the largest number lies infinity; a NaN stays one") {
  CHECK(float_to_float16(65519.0F) == 0x7bff);
  CHECK(float_to_float16(65520.0F) == 0x7c00);
  CHECK(float_to_float16(-1e30F) == 0xfc00);
  CHECK(float_to_bfloat16(std::numeric_limits<float>::max()) == 0x7f80);
  for (const float nan : {std::numeric_limits<float>::quiet_NaN(), std::bit_cast<float>(0x7f800001U),
                          std::bit_cast<float>(0xffffffffU)}) {
    CHECK(std::isnan(float16_to_float(float_to_float16(nan))));
    CHECK(std::isnan(bfloat16_to_float(float_to_bfloat16(nan))));
  }
}

TEST_CASE("types have PyTorch's names") {
  for (const DType dtype : {DType::float64, DType::float32, DType::float16, DType::bfloat16})
    CHECK(parse_dtype(name_of(dtype)) == dtype);
  CHECK_THROWS_WITH_AS(parse_dtype("int8"),
                       doctest::Contains("expected float64, float32, float16 or bfloat16, got int8"), ConfigError);
}
