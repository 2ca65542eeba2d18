#pragma once

#include <algorithm>
#include <set>
#include <span>
#include <string_view>
#include <type_traits>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/gguf_reader.hpp"
#include "greentrainer/io/gguf_writer.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

namespace detail {

inline constexpr std::size_t gguf_alignment = 32;

/// The header of a GGUF file, value by value.
class GgufHeaderBytes {
 public:
  template <class T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(static_cast<std::uint64_t>(value.size()));
    bytes_ += value;
  }
  /// Its type, and the value.
  void value(const GgufValue& value) {
    std::visit(
        [&](const auto& held) {
          using T = std::decay_t<decltype(held)>;
          if constexpr (requires { held.begin()->size(); }) {
            array(string_type, held.size());
            for (const std::string& one : held) text(one);
          } else if constexpr (std::is_same_v<T, std::string>) {
            number(string_type);
            text(held);
          } else if constexpr (requires { held.begin(); }) {
            array(type_of<typename T::value_type>(), held.size());
            for (const auto one : held) number(one);
          } else if constexpr (std::is_same_v<T, bool>) {
            number(bool_type);
            number(static_cast<std::uint8_t>(held));
          } else {
            number(type_of<T>());
            number(held);
          }
        },
        value);
  }
  void pad() { bytes_.resize((bytes_.size() + gguf_alignment - 1) / gguf_alignment * gguf_alignment); }

  const std::string& bytes() const { return bytes_; }

 private:
  static constexpr std::uint32_t bool_type = 7, string_type = 8, array_type = 9;

  template <class T>
  static constexpr std::uint32_t type_of() {
    if constexpr (std::is_same_v<T, std::uint32_t>) return 4;
    if constexpr (std::is_same_v<T, std::int32_t>) return 5;
    return 6;  // float
  }
  void array(std::uint32_t type, std::size_t size) {
    number(array_type);
    number(type);
    number(static_cast<std::uint64_t>(size));
  }

  std::string bytes_ = "GGUF";
};

}  // namespace detail

GREENTRAINER_INLINE Json gguf_metadata_json(const GgufMetadata& metadata) {
  Json json = Json::object();
  for (const auto& [key, value] : metadata) {
    json[key] = std::visit(
        [](const auto& held) -> Json {
          using T = std::decay_t<decltype(held)>;
          if constexpr (std::is_same_v<T, float>) return shortest_decimal(held);
          if constexpr (std::is_same_v<T, std::vector<float>>) {
            Json list = Json::array();
            for (const float one : held) list.push_back(shortest_decimal(one));
            return list;
          }
          return held;
        },
        value);
  }
  return json;
}

GREENTRAINER_INLINE Bytes write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                                     const std::vector<GgufTensorToWrite>& tensors) {
  const auto fail = [&](std::string_view kind, std::string_view name, const auto&... detail) {
    throw SaveError("write_gguf", text(path.string(), ", ", kind, ' ', name), text(detail...));
  };
  std::set<std::string_view> keys, names;
  const auto expect_name = [&](std::string_view kind, std::string_view name, std::set<std::string_view>& others) {
    if (name.empty() || std::ranges::any_of(name, [](char c) { return c < '!' || c > '~'; }))
      fail(kind, name, "expected a name of visible ASCII characters, got others or none");
    if (!others.insert(name).second) fail(kind, name, "expected a name of its own, got it twice");
  };
  const auto padded = [](std::size_t bytes) {
    return (bytes + detail::gguf_alignment - 1) / detail::gguf_alignment * detail::gguf_alignment;
  };
  detail::GgufHeaderBytes header;
  header.number(std::uint32_t{3});
  header.number(static_cast<std::uint64_t>(tensors.size()));
  header.number(static_cast<std::uint64_t>(metadata.size()));
  for (const auto& [key, value] : metadata) {
    expect_name("metadata", key, keys);
    header.text(key);
    header.value(value);
  }
  std::vector<std::size_t> sizes;
  std::size_t offset = 0;
  for (const GgufTensorToWrite& tensor : tensors) {
    expect_name("tensor", tensor.name, names);
    const StorageFormat& format = *tensor.format;
    const auto elements = checked_bytes(tensor.shape, 1);
    if (!format.ggml) fail("tensor", tensor.name, "expected a format that GGUF has, got ", format.name);
    if (tensor.shape.empty() || tensor.shape.size() > 4 || !elements || *elements == 0)
      fail("tensor", tensor.name, "expected 1 to 4 dimensions that fit into memory, got ", shape_text(tensor.shape));
    if (tensor.shape.back() % static_cast<Extent>(format.block) != 0) {
      fail("tensor", tensor.name, "expected rows of a multiple of ", format.block, " elements for ", format.name,
           ", got ", tensor.shape.back());
    }
    header.text(tensor.name);
    header.number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent)
      header.number(static_cast<std::uint64_t>(*extent));
    header.number(*format.ggml);
    header.number(static_cast<std::uint64_t>(offset));
    sizes.push_back(*elements / format.block * format.bytes);
    offset = padded(offset + sizes.back());
  }
  header.pad();

  AtomicFile file(path);
  file.write(header.bytes());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::size_t came = file.write_pieces(sizes[i], tensors[i].write);
    if (came != sizes[i]) {
      fail("tensor", tensors[i].name, "expected ", sizes[i], " bytes for shape ", shape_text(tensors[i].shape),
           ", got ", came > sizes[i] ? std::string("more") : std::to_string(came));
    }
    file.write(std::string(padded(sizes[i]) - sizes[i], '\0'));
  }
  file.commit();
  return static_cast<Bytes>(header.bytes().size() + offset);
}

}  // namespace greentrainer
