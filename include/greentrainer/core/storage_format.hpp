#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "greentrainer/core/dtype.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/core/float_codec.hpp"

namespace greentrainer {

/// How a tensor's numbers lie in a file or in memory, apart from the type that they are computed in: in blocks of so
/// many elements, each of so many bytes. One description for each format; nothing else knows how a format is read and
/// written.
struct StorageFormat {
  std::string_view name = {};              ///< as GGUF spells it: "Q8_0"
  std::optional<std::uint32_t> ggml = {};  ///< its number in GGUF files; nothing: it is in none
  std::size_t block = 1;                   ///< elements
  std::size_t bytes = 1;                   ///< of a block
  std::optional<DType> dtype = {};         ///< where each element is a number of this type
  /// Else: the numbers of one block, in float32. `bytes` and `values` are those of a block.
  void (*decode_block)(const std::byte* bytes, float* values) = nullptr;
  /// The block of these numbers, all finite; null for a format that is only read.
  void (*encode_block)(const float* values, std::byte* bytes) = nullptr;

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
inline void store_half(float value, std::byte* bytes) {
  const std::uint16_t half = float_to_float16(value);
  std::memcpy(bytes, &half, sizeof half);
}
/// The scale is stored as a half number; codes follow from the scale as it was before that.
inline void encode_q8_0(const float* values, std::byte* bytes) {
  float largest = 0;
  for (std::size_t j = 0; j < 32; ++j) largest = std::max(largest, std::fabs(values[j]));
  const float scale = largest / 127.0F, inverse = scale == 0 ? 0.0F : 1.0F / scale;
  store_half(scale, bytes);
  for (std::size_t j = 0; j < 32; ++j)
    bytes[2 + j] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(values[j] * inverse)));
}
inline void decode_q4_0(const std::byte* bytes, float* values) {
  const float scale = half_at(bytes);
  for (std::size_t j = 0; j < 16; ++j) {
    const int both = byte_at(bytes, 2 + j);
    values[j] = scale * static_cast<float>((both & 15) - 8);
    values[j + 16] = scale * static_cast<float>((both >> 4) - 8);
  }
}
/// The value of greatest magnitude, of equal ones the first, has code 0 and is exact but for the scale's rounding.
inline void encode_q4_0(const float* values, std::byte* bytes) {
  float largest = 0;
  for (std::size_t j = 0; j < 32; ++j) {
    if (std::fabs(values[j]) > std::fabs(largest)) largest = values[j];
  }
  const float scale = largest / -8.0F, inverse = scale == 0 ? 0.0F : 1.0F / scale;
  store_half(scale, bytes);
  const auto code = [&](std::size_t j) { return std::min(15, static_cast<int>(values[j] * inverse + 8.5F)); };
  for (std::size_t j = 0; j < 16; ++j) bytes[2 + j] = static_cast<std::byte>(code(j) | code(j + 16) << 4);
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

/// NF4 of bitsandbytes (QLoRA, arXiv 2305.14314, appendix E): quantiles of a normal distribution, as shares of a
/// block's largest magnitude.
inline constexpr std::array<float, 16> nf4_codes = {-1.0F,
                                                    -0.6961928009986877F,
                                                    -0.5250730514526367F,
                                                    -0.39491748809814453F,
                                                    -0.28444138169288635F,
                                                    -0.18477343022823334F,
                                                    -0.09105003625154495F,
                                                    0.0F,
                                                    0.07958029955625534F,
                                                    0.16093020141124725F,
                                                    0.24611230194568634F,
                                                    0.33791524171829224F,
                                                    0.44070982933044434F,
                                                    0.5626170039176941F,
                                                    0.7229568362236023F,
                                                    1.0F};
/// A block here: the largest magnitude as a float, then 32 bytes, each with the first of two elements in its upper
/// half. bitsandbytes keeps the same bytes in two tensors.
inline void decode_nf4(const std::byte* bytes, float* values) {
  const auto largest = stored_at<float>(bytes);
  for (std::size_t j = 0; j < 32; ++j) {
    const int both = byte_at(bytes, 4 + j);
    values[2 * j] = nf4_codes[static_cast<std::size_t>(both >> 4)] * largest;
    values[2 * j + 1] = nf4_codes[static_cast<std::size_t>(both & 15)] * largest;
  }
}
inline void encode_nf4(const float* values, std::byte* bytes) {
  float largest = 0;
  for (std::size_t j = 0; j < 64; ++j) largest = std::max(largest, std::fabs(values[j]));
  std::memcpy(bytes, &largest, sizeof largest);
  const float inverse = largest == 0 ? 0.0F : 1.0F / largest;
  const auto code = [&](float value) {  // of the nearest; midway between two, of the lower one
    std::size_t c = 0;
    while (c < 15 && value * inverse > (nf4_codes[c] + nf4_codes[c + 1]) / 2) ++c;
    return c;
  };
  for (std::size_t j = 0; j < 32; ++j)
    bytes[4 + j] = static_cast<std::byte>(code(values[2 * j]) << 4 | code(values[2 * j + 1]));
}

}  // namespace detail

/// The formats that can be read. Each gives the numbers that the Python package `gguf` gives, bit for bit.
inline constexpr auto storage_formats = std::to_array<StorageFormat>({
    {.name = "F32", .ggml = 0, .block = 1, .bytes = 4, .dtype = DType::float32},
    {.name = "F16", .ggml = 1, .block = 1, .bytes = 2, .dtype = DType::float16},
    {.name = "Q4_0",
     .ggml = 2,
     .block = 32,
     .bytes = 18,
     .decode_block = detail::decode_q4_0,
     .encode_block = detail::encode_q4_0},
    {.name = "Q4_1", .ggml = 3, .block = 32, .bytes = 20, .decode_block = detail::decode_q4_1},
    {.name = "Q5_0", .ggml = 6, .block = 32, .bytes = 22, .decode_block = detail::decode_q5_0},
    {.name = "Q5_1", .ggml = 7, .block = 32, .bytes = 24, .decode_block = detail::decode_q5_1},
    {.name = "Q8_0",
     .ggml = 8,
     .block = 32,
     .bytes = 34,
     .decode_block = detail::decode_q8_0,
     .encode_block = detail::encode_q8_0},
    {.name = "Q4_K", .ggml = 12, .block = 256, .bytes = 144, .decode_block = detail::decode_q4_k},
    {.name = "Q5_K", .ggml = 13, .block = 256, .bytes = 176, .decode_block = detail::decode_q5_k},
    {.name = "Q6_K", .ggml = 14, .block = 256, .bytes = 210, .decode_block = detail::decode_q6_k},
    {.name = "F64", .ggml = 28, .block = 1, .bytes = 8, .dtype = DType::float64},
    {.name = "BF16", .ggml = 30, .block = 1, .bytes = 2, .dtype = DType::bfloat16},
    {.name = "NF4", .block = 64, .bytes = 36, .decode_block = detail::decode_nf4, .encode_block = detail::encode_nf4},
});

/// The format of a name or of a number of GGUF's; null for one that is not read.
constexpr const StorageFormat* find_storage_format(std::string_view name) {
  const auto found = std::ranges::find(storage_formats, name, &StorageFormat::name);
  return found == storage_formats.end() ? nullptr : &*found;
}
constexpr const StorageFormat* find_storage_format(std::uint32_t ggml_type) {
  const auto found = std::ranges::find(storage_formats, std::optional(ggml_type), &StorageFormat::ggml);
  return found == storage_formats.end() ? nullptr : &*found;
}

/// The format of an element type.
constexpr const StorageFormat& storage_format_of(DType dtype) {
  return *std::ranges::find(storage_formats, std::optional(dtype), &StorageFormat::dtype);
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

/// The blocks of finite numbers. Throws ShapeError as decode_blocks does, and ConfigError for a format that is only
/// read.
inline void encode_blocks(const StorageFormat& format, std::span<const float> values, std::span<std::byte> bytes) {
  const std::size_t blocks = values.size() / format.block;
  if (values.size() % format.block != 0 || bytes.size() != blocks * format.bytes) {
    throw ShapeError("storage_format", text(format.name),
                     text("expected ", format.bytes, " bytes for every ", format.block, " values, got ", bytes.size(),
                          " bytes for ", values.size(), " values"));
  }
  if (format.dtype) return encode_floats<float>(*format.dtype, values, bytes);
  if (format.encode_block == nullptr) {
    throw ConfigError(
        "storage_format", text(format.name),
        "expected a format that can be written (Q8_0, Q4_0, NF4 or an element type), got one that is read "
        "only");
  }
  for (std::size_t i = 0; i < blocks; ++i)
    format.encode_block(values.data() + i * format.block, bytes.data() + i * format.bytes);
}

}  // namespace greentrainer
