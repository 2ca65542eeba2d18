#pragma once

#include <algorithm>
#include <cstdint>
#include <set>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors_writer.hpp"

namespace greentrainer {

GREENTRAINER_INLINE void write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                                           const std::map<std::string, std::string>& metadata) {
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
    const std::size_t came = file.write_pieces(sizes[i], tensors[i].write);
    if (came != sizes[i]) {
      fail(tensors[i].name, "expected ", sizes[i], " bytes for shape ", shape_text(tensors[i].shape), ", got ",
           came > sizes[i] ? std::string("more") : std::to_string(came));
    }
  }
  file.commit();
}

}  // namespace greentrainer
