#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "greentrainer/core/dtype.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/io/float_codec.hpp"

namespace greentrainer {

/// How a tensor's numbers lie in a file, apart from the type that they are computed in: in blocks of so many elements,
/// each of so many bytes. One description for each format; nothing else knows how a format is read.
struct StorageFormat {
  std::string_view name = {};       ///< as GGUF spells it: "Q8_0"
  std::uint32_t ggml_type = 0;      ///< its number in GGUF files
  std::size_t block = 1;            ///< elements
  std::size_t bytes = 1;            ///< of a block
  std::optional<DType> dtype = {};  ///< where each element is a number of this type
  /// Else: the numbers of one block, in float32. `bytes` and `values` are those of a block.
  void (*decode_block)(const std::byte* bytes, float* values) = nullptr;

  /// The element type that holds every number of the format, without rounding.
  DType element_type() const { return dtype.value_or(DType::float32); }
};

namespace detail {

template <class T>
T stored_at(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
inline float half_at(const std::byte* bytes) { return float16_to_float(stored_at<std::uint16_t>(bytes)); }
inline int byte_at(const std::byte* bytes, std::size_t i) { return std::to_integer<int>(bytes[i]); }

/// Blocks of 32 with a scale, and all but Q8_0 with the nibbles of elements j and j + 16 in byte j.
inline void decode_q8_0(const std::byte* bytes, float* values) {
  const float scale = half_at(bytes);
  for (std::size_t j = 0; j < 32; ++j) values[j] = scale * static_cast<float>(stored_at<std::int8_t>(bytes + 2 + j));
}
inline void decode_q4_0(const std::byte* bytes, float* values) {
  const float scale = half_at(bytes);
  for (std::size_t j = 0; j < 16; ++j) {
    const int both = byte_at(bytes, 2 + j);
    values[j] = scale * static_cast<float>((both & 15) - 8);
    values[j + 16] = scale * static_cast<float>((both >> 4) - 8);
  }
}
inline void decode_q4_1(const std::byte* bytes, float* values) {
  const float scale = half_at(bytes), least = half_at(bytes + 2);
  for (std::size_t j = 0; j < 16; ++j) {
    const int both = byte_at(bytes, 4 + j);
    values[j] = scale * static_cast<float>(both & 15) + least;
    values[j + 16] = scale * static_cast<float>(both >> 4) + least;
  }
}
/// The fifth bits of the 32 elements lie in four bytes of their own.
inline int five_bits(const std::byte* high, const std::byte* low, std::size_t j) {
  const int nibble = j < 16 ? byte_at(low, j) & 15 : byte_at(low, j - 16) >> 4;
  return nibble | (static_cast<int>(stored_at<std::uint32_t>(high) >> j & 1U) << 4);
}
inline void decode_q5_0(const std::byte* bytes, float* values) {
  const float scale = half_at(bytes);
  for (std::size_t j = 0; j < 32; ++j) values[j] = scale * static_cast<float>(five_bits(bytes + 2, bytes + 6, j) - 16);
}
inline void decode_q5_1(const std::byte* bytes, float* values) {
  const float scale = half_at(bytes), least = half_at(bytes + 2);
  for (std::size_t j = 0; j < 32; ++j)
    values[j] = scale * static_cast<float>(five_bits(bytes + 4, bytes + 8, j)) + least;
}

/// Of the eight parts of 32 elements of a block of Q4_K or Q5_K: six bits of a scale and of an offset for each, in
/// twelve bytes. Products of a half number with them, and with an element's bits, are exact in float32.
struct PartScale {
  float scale = 0, offset = 0;

  PartScale(const std::byte* bytes, std::size_t part) {
    const std::byte* const packed = bytes + 4;
    int s = 0, m = 0;
    if (part < 4) {
      s = byte_at(packed, part) & 63;
      m = byte_at(packed, part + 4) & 63;
    } else {
      s = (byte_at(packed, part + 4) & 15) | (byte_at(packed, part - 4) >> 6 << 4);
      m = (byte_at(packed, part + 4) >> 4) | (byte_at(packed, part) >> 6 << 4);
    }
    scale = half_at(bytes) * static_cast<float>(s);
    offset = half_at(bytes + 2) * static_cast<float>(m);
  }
};
/// Parts 2i and 2i + 1 share 32 bytes: the lower and the upper nibbles.
inline int part_nibble(const std::byte* low, std::size_t part, std::size_t j) {
  const int both = byte_at(low, part / 2 * 32 + j);
  return part % 2 == 0 ? both & 15 : both >> 4;
}
inline void decode_q4_k(const std::byte* bytes, float* values) {
  for (std::size_t part = 0; part < 8; ++part) {
    const PartScale of(bytes, part);
    for (std::size_t j = 0; j < 32; ++j)
      values[part * 32 + j] = of.scale * static_cast<float>(part_nibble(bytes + 16, part, j)) - of.offset;
  }
}
inline void decode_q5_k(const std::byte* bytes, float* values) {
  for (std::size_t part = 0; part < 8; ++part) {
    const PartScale of(bytes, part);
    for (std::size_t j = 0; j < 32; ++j) {
      const int high = byte_at(bytes, 16 + j) >> part & 1;
      values[part * 32 + j] = of.scale * static_cast<float>(part_nibble(bytes + 48, part, j) | high << 4) - of.offset;
    }
  }
}
/// Two halves of 128 elements, each of 64 bytes with four lower bits and 32 bytes with two upper ones; then a signed
/// scale for every 16 elements, and the scale of all last.
inline void decode_q6_k(const std::byte* bytes, float* values) {
  const float scale = half_at(bytes + 208);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t half = i / 128, quarter = i % 128 / 32, j = i % 32;
    const int both = byte_at(bytes, half * 64 + quarter % 2 * 32 + j);
    const int low = quarter < 2 ? both & 15 : both >> 4;
    const int high = byte_at(bytes, 128 + half * 32 + j) >> (2 * quarter) & 3;
    const float part = scale * static_cast<float>(stored_at<std::int8_t>(bytes + 192 + i / 16));
    values[i] = part * static_cast<float>((low | high << 4) - 32);
  }
}

}  // namespace detail

/// The formats that can be read. Each gives the numbers that the Python package `gguf` gives, bit for bit.
inline constexpr auto storage_formats = std::to_array<StorageFormat>({
    {.name = "F32", .ggml_type = 0, .block = 1, .bytes = 4, .dtype = DType::float32},
    {.name = "F16", .ggml_type = 1, .block = 1, .bytes = 2, .dtype = DType::float16},
    {.name = "Q4_0", .ggml_type = 2, .block = 32, .bytes = 18, .decode_block = detail::decode_q4_0},
    {.name = "Q4_1", .ggml_type = 3, .block = 32, .bytes = 20, .decode_block = detail::decode_q4_1},
    {.name = "Q5_0", .ggml_type = 6, .block = 32, .bytes = 22, .decode_block = detail::decode_q5_0},
    {.name = "Q5_1", .ggml_type = 7, .block = 32, .bytes = 24, .decode_block = detail::decode_q5_1},
    {.name = "Q8_0", .ggml_type = 8, .block = 32, .bytes = 34, .decode_block = detail::decode_q8_0},
    {.name = "Q4_K", .ggml_type = 12, .block = 256, .bytes = 144, .decode_block = detail::decode_q4_k},
    {.name = "Q5_K", .ggml_type = 13, .block = 256, .bytes = 176, .decode_block = detail::decode_q5_k},
    {.name = "Q6_K", .ggml_type = 14, .block = 256, .bytes = 210, .decode_block = detail::decode_q6_k},
    {.name = "F64", .ggml_type = 28, .block = 1, .bytes = 8, .dtype = DType::float64},
    {.name = "BF16", .ggml_type = 30, .block = 1, .bytes = 2, .dtype = DType::bfloat16},
});

/// The format of a name or of a number of GGUF's; null for one that is not read.
constexpr const StorageFormat* find_storage_format(std::string_view name) {
  const auto found = std::ranges::find(storage_formats, name, &StorageFormat::name);
  return found == storage_formats.end() ? nullptr : &*found;
}
constexpr const StorageFormat* find_storage_format(std::uint32_t ggml_type) {
  const auto found = std::ranges::find(storage_formats, ggml_type, &StorageFormat::ggml_type);
  return found == storage_formats.end() ? nullptr : &*found;
}

/// The numbers of whole blocks. Numbers of F64 are rounded where T is float; all others are exact. Throws ShapeError
/// unless `bytes` and `values` are of the same whole number of blocks.
template <std::floating_point T>
void decode_blocks(const StorageFormat& format, std::span<const std::byte> bytes, std::span<T> values) {
  const std::size_t blocks = values.size() / format.block;
  if (values.size() % format.block != 0 || bytes.size() != blocks * format.bytes) {
    throw ShapeError("storage_format", text(format.name),
                     text("expected ", format.bytes, " bytes for every ", format.block, " values, got ", bytes.size(),
                          " bytes for ", values.size(), " values"));
  }
  if (format.dtype) return decode_floats(*format.dtype, bytes, values);
  std::array<float, 256> block;
  for (std::size_t i = 0; i < blocks; ++i) {
    format.decode_block(bytes.data() + i * format.bytes, block.data());
    std::copy_n(block.begin(), format.block, values.begin() + static_cast<std::ptrdiff_t>(i * format.block));
  }
}

}  // namespace greentrainer
