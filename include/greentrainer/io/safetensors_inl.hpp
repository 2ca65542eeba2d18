#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer {

GREENTRAINER_INLINE SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  std::uint64_t header_size = 0;
  if (file_.size() < sizeof header_size)
    fail(text("expected 8 bytes with the header's length, got a file of ", file_.size(), " bytes; is it truncated?"));
  file_.read(0, std::as_writable_bytes(std::span(&header_size, 1)));
  if (header_size > max_header)
    fail(text("expected a header of at most ", max_header, " bytes, got ", header_size,
              "; is this a safetensors file?"));
  if (header_size > file_.size() - sizeof header_size) {
    fail(text("expected a header of ", header_size, " bytes, got ", file_.size() - sizeof header_size,
              " bytes; is the file truncated?"));
  }
  std::string header(static_cast<std::size_t>(header_size), '\0');
  file_.read(sizeof header_size, std::as_writable_bytes(std::span(header)));
  data_begin_ = sizeof header_size + header.size();
  data_size_ = file_.size() - data_begin_;
  read_header(header);
  check_coverage();
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

GREENTRAINER_INLINE const TensorInfo& SafetensorsFile::info(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) fail(name, text("expected it in the file, got ", tensors_.size(), " others"));
  return tensors_[found->second];
}

GREENTRAINER_INLINE std::vector<std::byte> SafetensorsFile::raw(std::string_view name) const {
  const auto& tensor = info(name);
  std::vector<std::byte> bytes(tensor.end - tensor.begin);
  file_.read(data_begin_ + tensor.begin, bytes);
  return bytes;
}

GREENTRAINER_INLINE void SafetensorsFile::raw_part(std::string_view name, std::size_t first,
                                                   std::span<std::byte> bytes) const {
  const auto& tensor = info(name);
  const std::size_t all = tensor.end - tensor.begin;
  if (first > all || bytes.size() > all - first) {
    throw ShapeError("safetensors", text(path().string(), ", tensor ", name),
                     text("expected at least ", first, " + ", bytes.size(), " bytes, got ", all));
  }
  file_.read(data_begin_ + tensor.begin + first, bytes);
}

GREENTRAINER_INLINE void SafetensorsFile::fail(std::string_view tensor, const std::string& what) const {
  throw LoadError("safetensors", text(path().string(), ", tensor ", tensor), what);
}

GREENTRAINER_INLINE void SafetensorsFile::read_header(std::string_view header) {
  if (header.empty() || header.front() != '{')
    fail("expected a header that begins with {; is this a safetensors file?");
  const Json json = parse_json(header, path().string() + " (header)");
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      read_metadata(entry);
    } else {
      tensors_.push_back(read_tensor(name, entry));
    }
  }
}

GREENTRAINER_INLINE void SafetensorsFile::read_metadata(const Json& entry) {
  if (!entry.is_object()) fail(text("__metadata__: expected an object, got ", entry.type_name()));
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) fail(text("__metadata__, \"", key, "\": expected a text, got ", value.type_name()));
    metadata_.emplace(key, value.template get<std::string>());
  }
}

GREENTRAINER_INLINE TensorInfo SafetensorsFile::read_tensor(const std::string& name, const Json& entry) const {
  const auto field = [&](const char* key) -> const Json& {
    const auto found = entry.is_object() ? entry.find(key) : entry.end();
    if (!entry.is_object() || found == entry.end())
      fail(name, text("expected dtype, shape and data_offsets, got no ", key));
    return *found;
  };
  const auto natural = [&](const Json& value, const char* what) {
    // Bounded by Extent so that no later arithmetic on one of them can overflow.
    if (!value.is_number_unsigned() ||
        value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<Extent>::max())) {
      fail(name,
           text("expected ", what, " of integers from 0 to 2^63 - 1, got ", value.dump(-1, ' ', true).substr(0, 40)));
    }
    return value.get<std::uint64_t>();
  };

  TensorInfo tensor;
  tensor.name = name;
  tensor.file = path();
  if (!field("dtype").is_string())
    fail(name, text("expected a dtype such as \"F32\", got ", field("dtype").type_name()));
  tensor.dtype_name = field("dtype").get<std::string>();
  tensor.dtype = dtype_from_safetensors(tensor.dtype_name);

  if (!field("shape").is_array())
    fail(name, text("expected a shape such as [768, 768], got ", field("shape").type_name()));
  for (const Json& extent : field("shape")) tensor.shape.push_back(static_cast<Extent>(natural(extent, "a shape")));

  const Json& offsets = field("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2) fail(name, "expected data_offsets [begin, end], got something else");
  const auto begin = natural(offsets[0], "data_offsets");
  const auto end = natural(offsets[1], "data_offsets");
  if (begin > end || end > data_size_) {
    fail(name, text("expected data_offsets within the file's ", data_size_, " bytes of data, got [", begin, ", ", end,
                    "]; is the file truncated?"));
  }
  tensor.begin = static_cast<std::size_t>(begin);
  tensor.end = static_cast<std::size_t>(end);

  const auto element_size = safetensors_element_size(tensor.dtype_name);
  const auto bytes = checked_bytes(tensor.shape, element_size.value_or(1));
  if (!bytes || (element_size && *bytes != end - begin)) {
    fail(name, text("expected ", bytes ? std::to_string(*bytes) : "fewer than 2^63", " bytes for shape ",
                    shape_text(tensor.shape), " of ", tensor.dtype_name, ", got ", end - begin, " bytes"));
  }
  return tensor;
}

GREENTRAINER_INLINE void SafetensorsFile::check_coverage() {
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
  });
  std::size_t covered = 0;
  for (const auto& tensor : tensors_) {
    if (tensor.begin != covered) {
      fail(tensor.name, text("expected its data to begin at byte ", covered, ", where the tensor before it ends, got ",
                             tensor.begin));
    }
    covered = tensor.end;
  }
  if (covered != data_size_)
    fail(text("expected ", covered, " bytes of data, got ", data_size_, "; is the file damaged?"));
}

}  // namespace greentrainer
