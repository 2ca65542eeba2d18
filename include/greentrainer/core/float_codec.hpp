#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "greentrainer/core/dtype.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer {

static_assert(std::endian::native == std::endian::little,
              "checkpoints are little endian; a big-endian host needs byte swaps here");

namespace detail {

template <class Stored, class T, class Convert>
void decode_as(std::span<const std::byte> bytes, std::span<T> values, Convert convert) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored stored;  // checkpoints need not be aligned
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = static_cast<T>(convert(stored));
  }
}

template <class Stored, class T, class Convert>
void encode_as(std::span<const T> values, std::span<std::byte> bytes, Convert convert) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Stored stored = convert(values[i]);
    std::memcpy(bytes.data() + i * sizeof(Stored), &stored, sizeof(Stored));
  }
}

inline void check_codec_size(std::size_t bytes, std::size_t values, DType dtype) {
  const auto each = static_cast<std::size_t>(size_of(dtype));
  if (bytes / each != values || bytes % each != 0) {
    throw ShapeError("float_codec", text(name_of(dtype)),
                     text("expected ", values, " values of ", each, " bytes, got ", bytes, " bytes"));
  }
}

}  // namespace detail

/// Numbers out of a checkpoint's bytes. `values` has one place for each number in `bytes`. Widening is exact, narrowing
/// rounds to nearest. Throws ShapeError if the sizes do not fit.
template <std::floating_point T>
void decode_floats(DType dtype, std::span<const std::byte> bytes, std::span<T> values) {
  detail::check_codec_size(bytes.size(), values.size(), dtype);
  switch (dtype) {
    case DType::float64: return detail::decode_as<double>(bytes, values, [](double v) { return v; });
    case DType::float32: return detail::decode_as<float>(bytes, values, [](float v) { return v; });
    case DType::float16: return detail::decode_as<std::uint16_t>(bytes, values, float16_to_float);
    case DType::bfloat16: return detail::decode_as<std::uint16_t>(bytes, values, bfloat16_to_float);
  }
}

/// Numbers into a checkpoint's bytes, rounded to nearest, ties to even (double to 16 bits goes through float). Throws
/// ShapeError if the sizes do not fit.
template <std::floating_point T>
void encode_floats(DType dtype, std::span<const T> values, std::span<std::byte> bytes) {
  detail::check_codec_size(bytes.size(), values.size(), dtype);
  switch (dtype) {
    case DType::float64: return detail::encode_as<double>(values, bytes, [](T v) { return static_cast<double>(v); });
    case DType::float32: return detail::encode_as<float>(values, bytes, [](T v) { return static_cast<float>(v); });
    case DType::float16:
      return detail::encode_as<std::uint16_t>(values, bytes,
                                              [](T v) { return float_to_float16(static_cast<float>(v)); });
    case DType::bfloat16:
      return detail::encode_as<std::uint16_t>(values, bytes,
                                              [](T v) { return float_to_bfloat16(static_cast<float>(v)); });
  }
}

/// The same into bytes of its own.
template <std::floating_point T>
std::vector<std::byte> encode_floats(DType dtype, std::span<const T> values) {
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(size_of(dtype)));
  encode_floats(dtype, values, std::span(bytes));
  return bytes;
}

}  // namespace greentrainer
