#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "greentrainer/core/float_codec.hpp"
#include "greentrainer/core/random.hpp"

namespace greentrainer {

/// Rounds to one of the two neighbours in a 16-bit type, to each with the probability that makes the mean the value.
/// What the type holds stays as it is; what has no finite neighbour beyond it is rounded to the nearest. `random`: 32
/// uniform bits. `encode` rounds to the nearest and `decode` is exact; of one sign, larger codes are larger magnitudes.
template <class Encode, class Decode>
std::uint16_t round_stochastically(float value, std::uint32_t random, Encode encode, Decode decode) {
  const std::uint16_t nearest = encode(value);
  const float at_nearest = decode(nearest);
  if (at_nearest == value || !std::isfinite(at_nearest)) return nearest;
  const bool outwards = std::abs(at_nearest) < std::abs(value);
  const auto other = static_cast<std::uint16_t>(outwards ? nearest + 1 : nearest - 1);
  const float at_other = decode(other);
  if (!std::isfinite(at_other)) return nearest;
  const double share = (double{value} - double{at_nearest}) / (double{at_other} - double{at_nearest});
  return static_cast<double>(random) < share * 0x1p32 ? other : nearest;
}

/// Numbers into a checkpoint's bytes: as encode_floats, but float16 and bfloat16 are rounded stochastically. An update
/// that is smaller than the distance of two codes is lost by rounding to the nearest; here it is kept in the mean of
/// many weights. A pure function of the values and `name`: some of a tensor's, from the `first` on, give the bytes that
/// they have among all.
template <std::floating_point T>
std::vector<std::byte> encode_stochastically(DType dtype, std::string_view name, std::span<const T> values,
                                             std::size_t first = 0) {
  if (size_of(dtype) != 2) return encode_floats<T>(dtype, values);
  std::vector<std::byte> bytes(values.size() * sizeof(std::uint16_t));
  const RandomStream stream(0, name);
  std::array<std::uint32_t, 4> random{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t place = first + i;
    if (i == 0 || place % 4 == 0) random = stream.block(place / 4);
    const auto value = static_cast<float>(values[i]);
    const std::uint32_t drawn = random[place % 4];
    const std::uint16_t code = dtype == DType::bfloat16
                                   ? round_stochastically(value, drawn, float_to_bfloat16, bfloat16_to_float)
                                   : round_stochastically(value, drawn, float_to_float16, float16_to_float);
    std::memcpy(bytes.data() + i * sizeof(code), &code, sizeof(code));
  }
  return bytes;
}

}  // namespace greentrainer
