#pragma once

#include <array>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/dtype.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// One tensor of a checkpoint file, as the file's header lists it.
struct TensorInfo {
  std::string name = {};
  std::string dtype_name = {};      ///< as safetensors spells it: "F32", "BF16", "I64", ...
  std::optional<DType> dtype = {};  ///< nothing for types that are not among ours
  std::vector<Extent> shape = {};   ///< row-major; empty for a scalar
  std::filesystem::path file = {};
  std::size_t begin = 0;  ///< bytes, from the start of the file's data
  std::size_t end = 0;

  Extent elements() const {
    Extent product = 1;
    for (Extent extent : shape) product *= extent;  // checked when the header was read
    return product;
  }
};

/// How safetensors spells an element type of ours.
constexpr std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::float64: return "F64";
    case DType::float32: return "F32";
    case DType::float16: return "F16";
    case DType::bfloat16: return "BF16";
  }
  return "?";
}

/// Inverse of safetensors_name; nothing for other types.
constexpr std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (DType dtype : {DType::float64, DType::float32, DType::float16, DType::bfloat16}) {
    if (safetensors_name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

/// Bytes of one element of any safetensors type that fills whole bytes; nothing for names we do not know.
constexpr std::optional<std::size_t> safetensors_element_size(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::size_t>, 17> sizes{{
      {"BOOL", 1},
      {"U8", 1},
      {"I8", 1},
      {"F8_E5M2", 1},
      {"F8_E4M3", 1},
      {"F8_E8M0", 1},
      {"I16", 2},
      {"U16", 2},
      {"F16", 2},
      {"BF16", 2},
      {"I32", 4},
      {"U32", 4},
      {"F32", 4},
      {"F64", 8},
      {"I64", 8},
      {"U64", 8},
      {"C64", 8},
  }};
  for (const auto& [known, size] : sizes) {
    if (known == name) return size;
  }
  return std::nullopt;
}

/// Product of a shape times `element_size`, or nothing if an extent is negative or the product does not fit.
constexpr std::optional<std::size_t> checked_bytes(const std::vector<Extent>& shape, std::size_t element_size) {
  constexpr auto max = static_cast<std::size_t>(std::numeric_limits<Extent>::max());
  std::size_t product = element_size;
  bool empty =
      false;  // a zero extent makes nothing of the others, however large, but they are still checked one by one
  for (Extent extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      empty = true;
      continue;
    }
    if (product > max / static_cast<std::size_t>(extent)) return std::nullopt;
    product *= static_cast<std::size_t>(extent);
  }
  return empty ? 0 : product;
}

}  // namespace greentrainer
