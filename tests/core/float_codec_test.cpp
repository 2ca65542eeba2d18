#include "greentrainer/core/float_codec.hpp"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

using namespace greentrainer;

TEST_CASE_TEMPLATE("every 16-bit pattern survives reading and writing", T, float, double) {
  std::vector<std::uint16_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<std::uint16_t>(i);
  for (DType dtype : {DType::float16, DType::bfloat16}) {
    std::vector<T> values(patterns.size());
    decode_floats(dtype, std::as_bytes(std::span(patterns)), std::span(values));
    std::vector<std::uint16_t> back(patterns.size());
    encode_floats(dtype, std::span<const T>(values), std::as_writable_bytes(std::span(back)));
    std::size_t differences = 0;
    for (std::size_t i = 0; i < back.size(); ++i) differences += !std::isnan(values[i]) && back[i] != patterns[i];
    CHECK(differences == 0);
  }
}

TEST_CASE("known values in every type, at an odd address") {
  const std::vector<double> values = {1.0, -2.5, 0.0, 65504.0};
  for (DType dtype : {DType::float64, DType::float32, DType::float16}) {
    std::vector<std::byte> bytes(1 + values.size() * static_cast<std::size_t>(size_of(dtype)));
    const auto odd = std::span(bytes).subspan(1);
    encode_floats(dtype, std::span<const double>(values), odd);
    std::vector<double> back(values.size());
    decode_floats(dtype, std::span<const std::byte>(odd), std::span(back));
    CHECK(back == values);
  }
  const std::vector<float> half = {1.0F, 3.14159274F};
  const auto bytes = encode_floats(DType::bfloat16, std::span<const float>(half));
  CHECK(bytes == std::vector<std::byte>{std::byte{0x80}, std::byte{0x3f}, std::byte{0x49}, std::byte{0x40}});
}

TEST_CASE("sizes that do not fit are errors") {
  std::vector<std::byte> bytes(10);
  std::vector<float> three(3);
  CHECK_THROWS_AS(decode_floats(DType::float32, std::span<const std::byte>(bytes), std::span(three)), ShapeError);
  std::vector<float> two(2);
  CHECK_THROWS_AS(decode_floats(DType::float32, std::span<const std::byte>(bytes), std::span(two)), ShapeError);
  CHECK_THROWS_AS(encode_floats(DType::float32, std::span<const float>(two), std::span(bytes)), ShapeError);
}
