#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace greentrainer::testing {

/// A GGUF file, written value by value, so that a test may write what no writer would.
class GgufBytes {
 public:
  static constexpr std::uint32_t u8 = 0, i8 = 1, u16 = 2, i16 = 3, u32 = 4, i32 = 5, f32 = 6, boolean = 7, string = 8,
                                 array = 9, u64 = 10, i64 = 11, f64 = 12;

  /// `tensors` and `pairs`: what the header says of their numbers.
  GgufBytes(std::uint64_t tensors, std::uint64_t pairs, std::uint32_t version = 3) {
    bytes_ = "GGUF";
    number(version).number(tensors).number(pairs);
  }

  template <class T>
  GgufBytes& number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  GgufBytes& text(std::string_view value) {
    number<std::uint64_t>(value.size());
    bytes_ += value;
    return *this;
  }
  GgufBytes& key(std::string_view name, std::uint32_t type) { return text(name).number(type); }
  template <class T>
  GgufBytes& pair(std::string_view name, std::uint32_t type, T value) {
    return key(name, type).number(value);
  }
  GgufBytes& pair(std::string_view name, std::string_view value) { return key(name, string).text(value); }

  /// An entry of the list of tensors; dimensions as GGUF has them, the fastest first.
  GgufBytes& tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                    std::uint64_t offset) {
    text(name).number(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t extent : dimensions) number(extent);
    return number(type).number(offset);
  }

  GgufBytes& pad(std::size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  GgufBytes& data(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace greentrainer::testing
