#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/storage_format.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/io/gguf_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/tensor_info.hpp"

namespace greentrainer {

namespace detail {

/// Types of tensors that have a number in GGUF and are not read, for errors; "" for a number that is not known.
constexpr std::string_view unread_ggml_type(std::uint32_t type) {
  constexpr auto names = std::to_array<std::pair<std::uint32_t, std::string_view>>({
      {9, "Q8_1"},   {10, "Q2_K"},   {11, "Q3_K"},  {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
      {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"}, {23, "IQ4_XS"},  {24, "I8"},     {25, "I16"},
      {26, "I32"},   {27, "I64"},    {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"},   {39, "MXFP4"},
  });
  for (const auto& [number, name] : names) {
    if (number == type) return name;
  }
  return "";
}

}  // namespace detail

/// A GGUF file of version 2 or 3 (they differ in byte order alone, which is little endian here), read piece by piece:
/// metadata, a list of tensors, and their bytes. Opening it checks all that its header says: sizes against the file,
/// types, names, alignment, no overlap, no gap beyond the alignment.
class GgufFile {
 public:
  /// Throws LoadError naming the file, and the key or tensor where one is at fault.
  explicit GgufFile(const std::filesystem::path& path) : file_(path) {
    GgufReader reader(file_);
    check_magic(reader);
    constexpr std::size_t least_tensor = 8 + 4 + 8 + 4 + 8, least_pair = 8 + 4 + 1;
    const std::size_t tensors = reader.count("the number of tensors", least_tensor);
    const std::size_t pairs = reader.count("the number of metadata entries", least_pair);
    read_metadata(reader, pairs);
    const std::size_t alignment = read_alignment();
    for (std::size_t i = 0; i < tensors; ++i) read_tensor(reader, i, alignment);
    data_begin_ = (reader.position() + alignment - 1) / alignment * alignment;
    check_data(alignment);
  }

  const std::filesystem::path& path() const { return file_.path(); }

  /// An object from key to value.
  const Json& metadata() const { return metadata_; }

  /// In the order of the header. `dtype` is the type that holds the numbers, `dtype_name` the format's name, and the
  /// shape is row-major: the header's dimensions reversed.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  bool contains(std::string_view name) const { return index_.contains(name); }

  /// Throws LoadError for a name that is not there.
  const TensorInfo& info(std::string_view name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) fail(name, text("expected it in the file, got ", tensors_.size(), " others"));
    return tensors_[found->second];
  }

  /// A tensor's bytes: blocks of its format. Throws LoadError if the file has become shorter.
  std::vector<std::byte> raw(std::string_view name) const {
    const TensorInfo& tensor = info(name);
    std::vector<std::byte> bytes(tensor.end - tensor.begin);
    file_.read(data_begin_ + tensor.begin, bytes);
    return bytes;
  }

  /// Some of a tensor's numbers, decoded: whole blocks, from the element `first` on. Throws ShapeError for others, and
  /// LoadError if the file has become shorter.
  template <std::floating_point T>
  void read_part_as(std::string_view name, std::size_t first, std::span<T> values) const {
    const TensorInfo& tensor = info(name);
    const StorageFormat& format = *find_storage_format(tensor.dtype_name);
    const auto elements = static_cast<std::size_t>(tensor.elements());
    if (first > elements || values.size() > elements - first || first % format.block != 0 ||
        values.size() % format.block != 0) {
      throw ShapeError("gguf", text(path().string(), ", tensor ", name),
                       text("expected whole blocks of ", format.block, " among ", elements, " elements, got ", first,
                            " + ", values.size()));
    }
    const std::size_t at_once = most_at_once / format.block * format.block;
    std::vector<std::byte> bytes(std::min(values.size(), at_once) / format.block * format.bytes);
    for (std::size_t done = 0; done < values.size();) {
      const std::size_t count = std::min(values.size() - done, at_once);
      const auto piece = std::span(bytes).first(count / format.block * format.bytes);
      file_.read(data_begin_ + tensor.begin + (first + done) / format.block * format.bytes, piece);
      decode_blocks(format, std::span<const std::byte>(piece), values.subspan(done, count));
      done += count;
    }
  }

 private:
  static constexpr std::size_t most_at_once = std::size_t{1} << 16;  ///< elements that are read before they are decoded

  [[noreturn]] void fail(const std::string& what) const { throw LoadError("gguf", path().string(), what); }
  [[noreturn]] void fail(std::string_view tensor, const std::string& what) const {
    throw LoadError("gguf", text(path().string(), ", tensor ", tensor), what);
  }

  void check_magic(GgufReader& reader) const {
    if (reader.number<std::array<char, 4>>("4 bytes \"GGUF\"") != std::array{'G', 'G', 'U', 'F'})
      fail("expected a file that begins with GGUF; is this a GGUF file?");
    const auto of_file = reader.number<std::uint32_t>("the version");
    if (of_file == 2 || of_file == 3) return;
    constexpr std::uint32_t swapped = 3U << 24;
    fail(text("expected version 2 or 3 of the format, got ", of_file,
              of_file == swapped ? ", which is a big-endian file" : ""));
  }

  void read_metadata(GgufReader& reader, std::size_t pairs) {
    metadata_ = Json::object();
    for (std::size_t i = 0; i < pairs; ++i) {
      reader.set_place(text("metadata entry ", i));
      const std::string key = reader.name("a key");
      reader.set_place(text("metadata ", key));
      if (metadata_.contains(key)) reader.fail("expected the key once, got it again");
      metadata_[key] = reader.value();
    }
  }

  std::size_t read_alignment() const {
    constexpr std::string_view key = "general.alignment";
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) return 32;
    constexpr std::uint64_t most = 1 << 20;
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > most ||
        !std::has_single_bit(found->get<std::uint64_t>())) {
      throw LoadError("gguf", text(path().string(), ", metadata ", key),
                      text("expected a power of two from 1 to ", most, ", got ", found->dump().substr(0, 40)));
    }
    return found->get<std::size_t>();
  }

  void read_tensor(GgufReader& reader, std::size_t i, std::size_t alignment) {
    reader.set_place(text("tensor ", i));
    TensorInfo tensor;
    tensor.name = reader.name("a name");
    tensor.file = path();
    reader.set_place("tensor " + tensor.name);
    if (!index_.emplace(tensor.name, tensors_.size()).second) reader.fail("expected the name once, got it again");
    const auto dimensions = reader.number<std::uint32_t>("the number of dimensions");
    if (dimensions < 1 || dimensions > 4) reader.fail(text("expected 1 to 4 dimensions, got ", dimensions));
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      const auto extent = reader.number<std::uint64_t>("a dimension");
      if (extent < 1 || extent > static_cast<std::uint64_t>(std::numeric_limits<Extent>::max()))
        reader.fail(text("expected dimensions from 1 to 2^63 - 1, got ", extent));
      tensor.shape.insert(tensor.shape.begin(), static_cast<Extent>(extent));
    }
    const StorageFormat& format = read_format(reader);
    tensor.dtype_name = format.name;
    tensor.dtype = format.element_type();
    if (tensor.shape.back() % static_cast<Extent>(format.block) != 0) {
      reader.fail(text("expected rows of a multiple of ", format.block, " elements for ", format.name, ", got ",
                       tensor.shape.back()));
    }
    const auto offset = reader.number<std::uint64_t>("an offset");
    const auto elements = checked_bytes(tensor.shape, 1);
    const std::size_t most = file_.size() / format.bytes * format.block;
    if (!elements || *elements > most || offset > file_.size()) {
      reader.fail(text("expected data within the file's ", file_.size(), " bytes, got offset ", offset, " and shape ",
                       shape_text(tensor.shape), " of ", format.name, "; is the file truncated?"));
    }
    if (offset % alignment != 0)
      reader.fail(text("expected an offset that is a multiple of ", alignment, ", got ", offset));
    tensor.begin = static_cast<std::size_t>(offset);
    tensor.end = tensor.begin + *elements / format.block * format.bytes;
    tensors_.push_back(std::move(tensor));
  }

  static const StorageFormat& read_format(GgufReader& reader) {
    const auto type = reader.number<std::uint32_t>("a type");
    if (const StorageFormat* format = find_storage_format(type)) return *format;
    std::string known;
    for (const StorageFormat& format : storage_formats) {
      if (format.ggml) known += (known.empty() ? "" : ", ") + std::string(format.name);
    }
    const std::string_view name = detail::unread_ggml_type(type);
    reader.fail(text("expected one of the formats ", known, ", got type ", type, name.empty() ? "" : ", ", name));
  }

  /// Tensors lie end to end, each from the next multiple of the alignment on: a gap could hide data, an overlap makes
  /// two tensors of one.
  void check_data(std::size_t alignment) const {
    std::vector<const TensorInfo*> order;
    for (const TensorInfo& tensor : tensors_) order.push_back(&tensor);
    std::ranges::sort(order, {}, [](const TensorInfo* tensor) { return std::pair(tensor->begin, tensor->end); });
    const auto padded = [&](std::size_t end) { return (end + alignment - 1) / alignment * alignment; };
    std::size_t end = 0;
    for (const TensorInfo* tensor : order) {
      if (tensor->begin != padded(end)) {
        fail(tensor->name, text("expected its data to begin at byte ", padded(end),
                                ", behind the tensor before it, got ", tensor->begin));
      }
      end = tensor->end;
    }
    const std::size_t has = file_.size() - std::min(file_.size(), data_begin_);
    if (has < end) {
      fail(order.back()->name,
           text("expected data up to byte ", end, ", got ", has, " bytes of data; is the file truncated?"));
    }
    if (has > padded(end)) fail(text("expected ", padded(end), " bytes of data, got ", has, "; is the file damaged?"));
  }

  RandomAccessFile file_;
  Json metadata_;
  std::size_t data_begin_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace greentrainer
