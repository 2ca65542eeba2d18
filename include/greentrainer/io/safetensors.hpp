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

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/float_codec.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/io/json_fwd.hpp"
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
  explicit SafetensorsFile(const std::filesystem::path& path);
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const std::filesystem::path& path() const { return file_.path(); }

  /// In the order of their bytes in the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// The header's free texts, such as {"format": "pt"}.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  bool contains(std::string_view name) const { return index_.contains(name); }

  /// Throws LoadError for a name that is not there.
  const TensorInfo& info(std::string_view name) const;

  /// The tensor's bytes as stored. Throws LoadError if the file has become shorter since it was opened.
  std::vector<std::byte> raw(std::string_view name) const;
  /// Some of them, from the `first` on. Throws ShapeError where there are not so many.
  void raw_part(std::string_view name, std::size_t first, std::span<std::byte> bytes) const;

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
  [[noreturn]] void fail(std::string_view tensor, const std::string& what) const;

  void read_header(std::string_view header);

  void read_metadata(const Json& entry);

  TensorInfo read_tensor(const std::string& name, const Json& entry) const;

  /// Tensors lie end to end: a gap could hide data, an overlap makes two tensors of one.
  void check_coverage();

  RandomAccessFile file_;
  std::size_t data_begin_ = 0, data_size_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/safetensors_inl.hpp"
#endif
