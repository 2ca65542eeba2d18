#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/float_codec.hpp"
#include "greentrainer/io/json.hpp"
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
inline void write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) {
  const auto fail = [&](std::string_view tensor, const auto&... detail) {
    throw SaveError("write_safetensors", text(path.string(), ", tensor ", tensor), text(detail...));
  };
  std::string header = "{";
  std::set<std::string_view> names;
  std::vector<std::size_t> sizes;
  std::size_t offset = 0;
  std::ranges::sort(tensors, [](const TensorToWrite& a, const TensorToWrite& b) {
    const auto size = [](const TensorToWrite& t) { return safetensors_element_size(t.dtype_name).value_or(0); };
    return size(a) != size(b) ? size(a) > size(b) : a.name < b.name;
  });
  if (!metadata.empty()) header += "\"__metadata__\":" + Json(metadata).dump() + (tensors.empty() ? "" : ",");
  for (const auto& tensor : tensors) {
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second)
      fail(tensor.name, "expected a name of its own, got it twice");
    const auto element_size = safetensors_element_size(tensor.dtype_name);
    if (!element_size) fail(tensor.name, "expected a safetensors dtype, got ", tensor.dtype_name);
    const auto bytes = checked_bytes(tensor.shape, *element_size);
    if (!bytes) fail(tensor.name, "expected a shape that fits into memory, got ", shape_text(tensor.shape));
    const Json entry = {
        {"dtype", tensor.dtype_name}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + *bytes}}};
    header += (sizes.empty() ? "" : ",") + Json(tensor.name).dump() + ":" + entry.dump();
    sizes.push_back(*bytes);
    offset += *bytes;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');  // so that the data is aligned

  AtomicFile file(path);
  const auto header_size = static_cast<std::uint64_t>(header.size());
  file.write(std::as_bytes(std::span(&header_size, 1)));
  file.write(header);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::size_t left = sizes[i];
    bool too_many = false;
    tensors[i].write([&](std::span<const std::byte> bytes) {
      too_many = too_many || bytes.size() > left;
      if (too_many) return;
      left -= bytes.size();
      file.write(bytes);
    });
    if (too_many || left != 0) {
      fail(tensors[i].name, "expected ", sizes[i], " bytes for shape ", shape_text(tensors[i].shape), ", got ",
           too_many ? std::string("more") : std::to_string(sizes[i] - left));
    }
  }
  file.commit();
}

}  // namespace greentrainer
