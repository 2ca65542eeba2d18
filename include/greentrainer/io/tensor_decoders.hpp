#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
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

}  // namespace greentrainer::detail
