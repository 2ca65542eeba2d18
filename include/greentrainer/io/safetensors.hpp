#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/io/file.hpp"
#include "greentrainer/io/float_codec.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/tensor_info.hpp"

namespace greentrainer {

/// A safetensors file, read piece by piece: 8 bytes with the length of a JSON header, the header, the tensors' bytes.
/// Opening it checks everything the format promises (https://github.com/huggingface/safetensors): sizes, offsets, no
/// overlap, no gap, nothing left over.
class SafetensorsFile {
 public:
  /// The longest header the format allows, bytes.
  static constexpr std::size_t max_header = 100'000'000;

  /// Throws LoadError naming the file, and the tensor where one is at fault.
  explicit SafetensorsFile(const std::filesystem::path& path) : file_(path) {
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
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const std::filesystem::path& path() const { return file_.path(); }

  /// In the order of their bytes in the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// The header's free texts, such as {"format": "pt"}.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  bool contains(std::string_view name) const { return index_.contains(name); }

  /// Throws LoadError for a name that is not there.
  const TensorInfo& info(std::string_view name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) fail(name, text("expected it in the file, got ", tensors_.size(), " others"));
    return tensors_[found->second];
  }

  /// The tensor's bytes as stored. Throws LoadError if the file has become shorter since it was opened.
  std::vector<std::byte> raw(std::string_view name) const {
    const auto& tensor = info(name);
    std::vector<std::byte> bytes(tensor.end - tensor.begin);
    file_.read(data_begin_ + tensor.begin, bytes);
    return bytes;
  }

  /// The tensor's numbers, converted. `values` has one place for each element. Throws LoadError if they are not
  /// floating-point numbers or the file has become shorter, ShapeError if `values` is of another size.
  template <std::floating_point T>
  void read_as(std::string_view name, std::span<T> values) const {
    const auto& tensor = info(name);
    if (static_cast<Extent>(values.size()) != tensor.elements()) {
      throw ShapeError("safetensors", text(path().string(), ", tensor ", name),
                       text("expected ", values.size(), " elements, got ", tensor.elements(), " of shape ",
                            shape_text(tensor.shape)));
    }
    read_part_as(name, 0, values);
  }
  /// The same for some of its numbers: those from the `first` on, in the order of rows.
  template <std::floating_point T>
  void read_part_as(std::string_view name, std::size_t first, std::span<T> values) const {
    const auto& tensor = info(name);
    if (!tensor.dtype) fail(name, text("expected F64, F32, F16 or BF16, got ", tensor.dtype_name));
    const auto elements = static_cast<std::size_t>(tensor.elements());
    if (first > elements || values.size() > elements - first) {
      throw ShapeError("safetensors", text(path().string(), ", tensor ", name),
                       text("expected at least ", first, " + ", values.size(), " elements, got ", elements));
    }
    const auto each = static_cast<std::size_t>(size_of(*tensor.dtype));
    std::vector<std::byte> bytes(std::min(values.size() * each, most_at_once));
    for (std::size_t done = 0; done < values.size();) {
      const std::size_t count = std::min(values.size() - done, bytes.size() / each);
      const auto piece = std::span(bytes).first(count * each);
      file_.read(data_begin_ + tensor.begin + (first + done) * each, piece);
      decode_floats(*tensor.dtype, std::span<const std::byte>(piece), values.subspan(done, count));
      done += count;
    }
  }

 private:
  /// Bytes of a tensor that are read before they are converted: some of a processor's cache, whole numbers of each
  /// type.
  static constexpr std::size_t most_at_once = std::size_t{1} << 18;

  [[noreturn]] void fail(const std::string& what) const { throw LoadError("safetensors", path().string(), what); }
  [[noreturn]] void fail(std::string_view tensor, const std::string& what) const {
    throw LoadError("safetensors", text(path().string(), ", tensor ", tensor), what);
  }

  void read_header(std::string_view header) {
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

  void read_metadata(const Json& entry) {
    if (!entry.is_object()) fail(text("__metadata__: expected an object, got ", entry.type_name()));
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail(text("__metadata__, \"", key, "\": expected a text, got ", value.type_name()));
      metadata_.emplace(key, value.template get<std::string>());
    }
  }

  TensorInfo read_tensor(const std::string& name, const Json& entry) const {
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
    if (!offsets.is_array() || offsets.size() != 2)
      fail(name, "expected data_offsets [begin, end], got something else");
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

  /// Tensors lie end to end: a gap could hide data, an overlap makes two tensors of one.
  void check_coverage() {
    std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
    });
    std::size_t covered = 0;
    for (const auto& tensor : tensors_) {
      if (tensor.begin != covered) {
        fail(tensor.name, text("expected its data to begin at byte ", covered,
                               ", where the tensor before it ends, got ", tensor.begin));
      }
      covered = tensor.end;
    }
    if (covered != data_size_)
      fail(text("expected ", covered, " bytes of data, got ", data_size_, "; is the file damaged?"));
  }

  RandomAccessFile file_;
  std::size_t data_begin_ = 0, data_size_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace greentrainer
