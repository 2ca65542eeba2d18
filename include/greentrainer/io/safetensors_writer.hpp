#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/float_codec.hpp"
#include "greentrainer/io/tensor_info.hpp"

namespace greentrainer {

/// Takes the next bytes of a tensor.
using ByteSink = std::function<void(std::span<const std::byte>)>;

/// A tensor to be written: what the header says of it, and a function that hands its bytes over, in as many pieces as
/// it likes, when its turn comes. So a checkpoint is written without ever being in memory as a whole.
struct TensorToWrite {
  std::string name = {};
  std::string dtype_name = {};  ///< as safetensors spells it
  std::vector<Extent> shape = {};
  std::function<void(const ByteSink&)> write;

  /// Its bytes, by type and shape; 0 where these are none.
  Bytes bytes() const {
    const auto element_size = safetensors_element_size(dtype_name);
    return element_size ? static_cast<Bytes>(checked_bytes(shape, *element_size).value_or(0)) : 0;
  }

  /// The same tensor with the bytes that it has now: what hands them over may change or go after that.
  TensorToWrite copied() const {
    std::vector<std::byte> all;
    all.reserve(static_cast<std::size_t>(bytes()));
    write([&](std::span<const std::byte> piece) { all.insert(all.end(), piece.begin(), piece.end()); });
    return {name, dtype_name, shape, [all = std::move(all)](const ByteSink& sink) { sink(all); }};
  }

  /// The tensor of another checkpoint, byte by byte.
  static TensorToWrite copy_of(const TensorInfo& info, std::vector<std::byte> bytes) {
    return {info.name, info.dtype_name, info.shape, [bytes = std::move(bytes)](const ByteSink& sink) { sink(bytes); }};
  }

  /// Numbers, stored as `dtype`. `values` must live until it is written.
  template <std::floating_point T>
  static TensorToWrite values_of(std::string name, DType dtype, std::vector<Extent> shape, std::span<const T> values) {
    return {std::move(name), std::string(safetensors_name(dtype)), std::move(shape),
            [dtype, values](const ByteSink& sink) {
              constexpr std::size_t chunk = std::size_t{1} << 18;
              for (std::size_t i = 0; i < values.size(); i += chunk)
                sink(encode_floats(dtype, values.subspan(i, std::min(chunk, values.size() - i))));
            }};
  }
};

/// Writes a safetensors file. Tensors lie in it as the library safetensors lays them: by falling size of an element,
/// then by name, so that each begins at a multiple of its element's size. The file appears at `path` only when all of
/// it is on disk. Throws SaveError (a tensor that hands over another number of bytes than its shape says, a name twice,
/// a disk that is full), leaving what was there.
void write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/safetensors_writer_inl.hpp"
#endif
