#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/float_codec.hpp"
#include "greentrainer/io/quantized_tensors.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer::detail {

/// The 256 numbers of eight bits: of three (E4M3) or two (E5M2) in the fraction. E4M3 has no infinity, and one NaN of
/// each sign.
inline std::array<float, 256> float8_values(bool e4m3) {
  std::array<float, 256> values{};
  const int fraction = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15, top = e4m3 ? 15 : 31;
  for (int byte = 0; byte < 256; ++byte) {
    const int exponent = (byte & 127) >> fraction, rest = byte & ((1 << fraction) - 1);
    float value = exponent == 0 ? std::ldexp(static_cast<float>(rest), 1 - bias - fraction)
                                : std::ldexp(static_cast<float>(rest + (1 << fraction)), exponent - bias - fraction);
    if (e4m3 ? (byte & 127) == 127 : exponent == top && rest != 0) value = std::numeric_limits<float>::quiet_NaN();
    if (!e4m3 && exponent == top && rest == 0) value = std::numeric_limits<float>::infinity();
    values[static_cast<std::size_t>(byte)] = byte < 128 ? value : -value;
  }
  return values;
}

/// One byte for each number, which is looked up and multiplied with the scale of its block of rows and columns.
class ByteDecoder : public TensorDecoder {
 public:
  struct Scales {
    std::vector<float> values = {};
    std::size_t block_rows = 1, block_columns = 1, columns = 1;  ///< columns: of scales
  };

  ByteDecoder(const SafetensorsFile& file, const TensorInfo& info, std::array<float, 256> table, Scales scales,
              float factor = 1)
      : file_(&file),
        name_(info.name),
        width_(static_cast<std::size_t>(info.shape.back())),
        table_(table),
        scales_(std::move(scales)),
        factor_(factor) {}

  void read_part(std::size_t first, std::span<float> values) const override {
    std::vector<std::byte> codes(values.size());
    file_->raw_part(name_, first, codes);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t row = (first + i) / width_, column = (first + i) % width_;
      const float scale = scales_.values[row / scales_.block_rows * scales_.columns + column / scales_.block_columns];
      values[i] = table_[std::to_integer<std::size_t>(codes[i])] * scale * factor_;
    }
  }

 private:
  const SafetensorsFile* file_;
  std::string name_;
  std::size_t width_;
  std::array<float, 256> table_;
  Scales scales_;
  float factor_;
};

/// bitsandbytes' four bits: two numbers in a byte, the first in its upper half; blocks that lie end to end over all
/// rows, each with the largest magnitude. The products are rounded once, to the type that the numbers had.
class NibbleDecoder : public TensorDecoder {
 public:
  /// Largest magnitudes: as they are, or as bytes that stand for numbers of a table, with scales of their own for every
  /// so many, and something that is added to all.
  struct Magnitudes {
    std::string name;
    const SafetensorsFile* file = nullptr;
    std::size_t block = 64;  ///< numbers that have one
    bool nested = false;
    std::array<float, 256> table{};
    std::vector<float> scales = {};
    std::size_t nested_block = 256;
    float offset = 0;
  };

  NibbleDecoder(const SafetensorsFile& file, std::string name, std::array<float, 16> table, Magnitudes magnitudes,
                DType dtype)
      : file_(&file), name_(std::move(name)), table_(table), magnitudes_(std::move(magnitudes)), dtype_(dtype) {}

  void read_part(std::size_t first, std::span<float> values) const override {
    if (values.empty()) return;
    const std::size_t last = first + values.size() - 1, first_block = first / magnitudes_.block;
    std::vector<std::byte> codes(last / 2 - first / 2 + 1);
    file_->raw_part(name_, first / 2, codes);
    const std::vector<float> largest = magnitudes(first_block, last / magnitudes_.block - first_block + 1);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t at = first + i;
      const auto both = std::to_integer<std::size_t>(codes[at / 2 - first / 2]);
      values[i] = table_[at % 2 == 0 ? both >> 4 : both & 15] * largest[at / magnitudes_.block - first_block];
    }
    if (dtype_ != DType::float32)
      decode_floats<float>(dtype_, encode_floats<float>(dtype_, std::span<const float>(values)), values);
  }

 private:
  std::vector<float> magnitudes(std::size_t first, std::size_t count) const {
    const Magnitudes& of = magnitudes_;
    std::vector<float> values(count);
    if (!of.nested) {
      of.file->read_part_as<float>(of.name, first, values);
      return values;
    }
    std::vector<std::byte> codes(count);
    of.file->raw_part(of.name, first, codes);
    for (std::size_t i = 0; i < count; ++i) {
      // In double precision the product is exact: rounded before the sum, whatever the compiler would make of both.
      const double product =
          double{of.table[std::to_integer<std::size_t>(codes[i])]} * double{of.scales[(first + i) / of.nested_block]};
      values[i] = static_cast<float>(product) + of.offset;
    }
    return values;
  }

  const SafetensorsFile* file_;
  std::string name_;
  std::array<float, 16> table_;
  Magnitudes magnitudes_;
  DType dtype_;
};

/// MXFP4 as gpt-oss is published: of several matrices (out, in) the rows in blocks of 32 numbers, 16 bytes with the
/// first of two in the lower half, and for each block a byte that is an exponent of 2. The tensor that they stand for
/// has the matrices transposed, (in, out), so one is decoded as a whole and kept until its last number has been read.
class Mxfp4Decoder : public TensorDecoder {
 public:
  /// A tensor of codes or scales, in its file.
  struct Source {
    const SafetensorsFile* file = nullptr;
    std::string name = {};
  };

  Mxfp4Decoder(Source blocks, Source scales, std::size_t out, std::size_t in)
      : blocks_(std::move(blocks)), scales_(std::move(scales)), out_(out), in_(in) {}

  void read_part(std::size_t first, std::span<float> values) const override {
    const std::lock_guard lock(mutex_);
    const std::size_t size = out_ * in_;
    while (!values.empty()) {
      const std::size_t matrix = first / size, at = first % size, count = std::min(values.size(), size - at);
      if (kept_.empty() || kept_matrix_ != matrix) decode(matrix);
      std::copy_n(kept_.begin() + static_cast<std::ptrdiff_t>(at), count, values.begin());
      if (at + count == size) std::vector<float>().swap(kept_);
      values = values.subspan(count);
      first += count;
    }
  }

 private:
  static constexpr std::size_t block = 32;
  static constexpr std::array<float, 16> codes = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, 0, -0.5F, -1, -1.5F, -2, -3, -4, -6};

  void decode(std::size_t matrix) const {
    const std::size_t blocks = out_ * in_ / block;
    std::vector<std::byte> bytes(blocks * block / 2), exponents(blocks);
    blocks_.file->raw_part(blocks_.name, matrix * bytes.size(), bytes);
    scales_.file->raw_part(scales_.name, matrix * blocks, exponents);
    kept_.resize(out_ * in_);
    kept_matrix_ = matrix;
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      const auto exponent = std::to_integer<int>(exponents[i / block]), both = std::to_integer<int>(bytes[i / 2]);
      const float code = codes[static_cast<std::size_t>(i % 2 == 0 ? both & 15 : both >> 4)];
      kept_[i % in_ * out_ + i / in_] =
          exponent == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(code, exponent - 127);
    }
  }

  Source blocks_, scales_;
  std::size_t out_, in_;
  mutable std::mutex mutex_;
  mutable std::vector<float> kept_;  ///< transposed; empty: none
  mutable std::size_t kept_matrix_ = 0;
};

}  // namespace greentrainer::detail
