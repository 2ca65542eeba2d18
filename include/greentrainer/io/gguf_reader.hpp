#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// The number that the fewest decimal digits give which are still this float.
inline double shortest_decimal(float value) {
  std::array<char, 32> digits;
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  double result = value;
  if (std::isfinite(value)) std::from_chars(digits.data(), written.ptr, result);
  return result;
}

/// Reads the header of a GGUF file from its first byte on, value by value. Nothing is allocated for a size that the
/// file states before it has been compared with what is left of the file. Every error is a LoadError that names the
/// file and the place.
class GgufReader {
 public:
  /// The longest header that is read, bytes: vocabularies of a million pieces take less.
  static constexpr std::size_t max_header = std::size_t{256} << 20;
  static constexpr std::size_t max_string = std::size_t{16} << 20;
  static constexpr std::size_t max_name = 1024;
  /// Of elements of arrays, in all; and of metadata entries, and of tensors.
  static constexpr std::size_t max_elements = std::size_t{1} << 22;
  static constexpr std::size_t max_entries = std::size_t{1} << 16;

  explicit GgufReader(const RandomAccessFile& file) : file_(&file) {}

  std::size_t position() const { return position_; }

  /// What is read next, for errors: "tensor token_embd.weight".
  void set_place(std::string place) { place_ = std::move(place); }

  template <class T>
  T number(std::string_view what) {
    std::array<std::byte, sizeof(T)> bytes;
    take(bytes, what);
    return std::bit_cast<T>(bytes);
  }

  /// A length and so many bytes of UTF-8.
  std::string string(std::string_view what, std::size_t most = max_string) {
    const auto length = number<std::uint64_t>(what);
    if (length > most) fail(text("expected ", what, " of at most ", most, " bytes, got ", length));
    expect_left(length, 1, what);
    std::string value(static_cast<std::size_t>(length), '\0');
    take(std::as_writable_bytes(std::span(value)), what);
    if (const auto bad = find_invalid_utf8(value); bad != std::string::npos)
      fail(text("expected ", what, " in UTF-8, got other bytes at byte ", bad, " of it"));
    return value;
  }

  /// A key or a name: visible ASCII characters.
  std::string name(std::string_view what) {
    std::string value = string(what, max_name);
    if (value.empty() || std::ranges::any_of(value, [](char c) { return c < '!' || c > '~'; }))
      fail(text("expected ", what, " of visible ASCII characters, got others or none"));
    return value;
  }

  /// A count of things of at least so many bytes each.
  std::size_t count(std::string_view what, std::size_t bytes_each, std::size_t most = max_entries) {
    const auto value = number<std::uint64_t>(what);
    if (value > most) fail(text("expected ", what, " of at most ", most, ", got ", value));
    expect_left(value, bytes_each, what);
    return static_cast<std::size_t>(value);
  }

  /// A metadata value with its type before it. A float32 becomes the shortest decimal number that is the same float32.
  Json value() { return value_of(number<std::uint32_t>("the type of a value"), true); }

  [[noreturn]] void fail(const std::string& what) const {
    throw LoadError("gguf", text(file_->path().string(), place_.empty() ? "" : ", ", place_), what);
  }

 private:
  static constexpr std::size_t buffer_size = std::size_t{1} << 18;

  std::size_t end() const { return std::min(file_->size(), max_header); }

  /// Throws unless so many things of so many bytes are left of the header, at most.
  void expect_left(std::uint64_t things, std::size_t bytes, std::string_view what) const {
    const std::size_t left = end() - position_;
    if (things <= left / bytes) return;
    fail(text("expected ", what, " within the ", left, " bytes that are left of the ",
              end() == max_header ? "longest header that is read" : "file", ", got ", things, " of at least ", bytes,
              " bytes; is the file damaged?"));
  }

  void take(std::span<std::byte> bytes, std::string_view what) {
    expect_left(bytes.size(), 1, what);
    for (std::size_t done = 0; done < bytes.size();) {
      if (position_ < begin_ || position_ >= begin_ + buffer_.size()) {
        buffer_.resize(std::min(buffer_size, end() - position_));
        begin_ = position_;
        file_->read(begin_, buffer_);
      }
      const std::size_t at = position_ - begin_, count = std::min(bytes.size() - done, buffer_.size() - at);
      std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(at), count,
                  bytes.begin() + static_cast<std::ptrdiff_t>(done));
      done += count;
      position_ += count;
    }
  }

  /// Bytes of a value of a type, at least.
  static constexpr std::array<std::size_t, 13> least_bytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

  Json value_of(std::uint32_t type, bool arrays) {
    constexpr std::string_view what = "a value";
    switch (type) {
      case 0: return number<std::uint8_t>(what);
      case 1: return number<std::int8_t>(what);
      case 2: return number<std::uint16_t>(what);
      case 3: return number<std::int16_t>(what);
      case 4: return number<std::uint32_t>(what);
      case 5: return number<std::int32_t>(what);
      case 6: return shortest_decimal(number<float>(what));
      case 7: return boolean();
      case 8: return string("a text");
      case 10: return number<std::uint64_t>(what);
      case 11: return number<std::int64_t>(what);
      case 12: return number<double>(what);
      default: break;
    }
    if (type == 9 && arrays) return array();
    fail(text("expected a type of value from 0 to 12", arrays ? "" : " that is no array", ", got ", type));
  }

  Json array() {
    const auto type = number<std::uint32_t>("the type of an array");
    if (type >= least_bytes.size() || type == 9)
      fail(text("expected an array of values of types 0 to 12 that are no arrays, got ", type));
    const std::size_t size = count("the length of an array", least_bytes[type], max_elements - elements_);
    elements_ += size;
    switch (type) {
      case 0: return numbers<std::uint8_t>(size);
      case 1: return numbers<std::int8_t>(size);
      case 4: return numbers<std::uint32_t>(size);
      case 5: return numbers<std::int32_t>(size);
      default: break;
    }
    Json::array_t values;
    values.reserve(size);
    for (std::size_t i = 0; i < size; ++i) values.push_back(value_of(type, false));
    return values;
  }

  /// Of the types of which files have many.
  template <class T>
  Json numbers(std::size_t size) {
    std::vector<T> values(size);
    take(std::as_writable_bytes(std::span(values)), "an array");
    return values;
  }

  bool boolean() {
    const auto value = number<std::uint8_t>("a value");
    if (value > 1) fail(text("expected 0 or 1 for false or true, got ", static_cast<int>(value)));
    return value == 1;
  }

  const RandomAccessFile* file_;
  std::size_t position_ = 0;
  std::size_t elements_ = 0;  // of arrays
  std::string place_;
  std::size_t begin_ = 0;  // of the buffer, in the file
  std::vector<std::byte> buffer_;
};

}  // namespace greentrainer
