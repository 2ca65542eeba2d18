#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// Walks the fields of a protocol-buffers message in the order they lie in its bytes. What a field means is the
/// caller's to say; every length is checked against the bytes there are, and nothing is allocated for it. Source:
/// protobuf.dev, "Encoding".
class ProtobufReader {
 public:
  /// `bytes`, which must outlive this, are a whole file; `source` names it in errors.
  ProtobufReader(std::string_view bytes, std::string source) : ProtobufReader(bytes, bytes, std::move(source)) {}

  /// Goes to the next field; false at the end. Throws LoadError naming the byte: a field that is cut off, a number or
  /// kind that does not exist.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    number_ = key >> 3;
    if (number_ == 0 || number_ > max_number)
      fail(text("expected a field number from 1 to ", max_number, ", got ", number_));
    integer_ = 0;
    value_ = {};
    switch (kind_ = static_cast<Kind>(key & 7U)) {
      case Kind::varint: integer_ = varint(); return true;
      case Kind::fixed64: integer_ = fixed(8); return true;
      case Kind::fixed32: integer_ = fixed(4); return true;
      case Kind::bytes: {
        const std::uint64_t length = varint();
        if (length > bytes_.size() - at_)
          fail(text("expected ", length, " bytes of field ", number_, ", got ", bytes_.size() - at_));
        value_ = bytes_.substr(at_, static_cast<std::size_t>(length));
        at_ += value_.size();
        return true;
      }
    }
    fail(text("expected a varint, 32 bits, 64 bits or bytes as field ", number_, ", got wire type ", key & 7U));
  }

  /// Of the field that next() went to.
  std::uint64_t number() const { return number_; }

  // Its value, by the type that its message declares. `name` is for errors: LoadError where the value is of another
  // type.

  /// Bytes and texts; whether it is UTF-8 is not looked at.
  std::string_view bytes(std::string_view name) const {
    expect(Kind::bytes, name, "bytes");
    return value_;
  }

  float float32(std::string_view name) const {
    expect(Kind::fixed32, name, "a 32-bit float");
    return std::bit_cast<float>(static_cast<std::uint32_t>(integer_));
  }

  /// int32 and enumerations.
  std::int32_t int32(std::string_view name) const {
    expect(Kind::varint, name, "an integer");
    const auto value = static_cast<std::int64_t>(integer_);  // negative ones are written with all of their 64 bits
    if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
      fail(text(name, ": expected 32 bits, got ", value));
    return static_cast<std::int32_t>(value);
  }

  bool boolean(std::string_view name) const {
    expect(Kind::varint, name, "true or false");
    if (integer_ > 1) fail(text(name, ": expected 0 or 1, got ", integer_));
    return integer_ == 1;
  }

  /// A message within this one.
  ProtobufReader message(std::string_view name) const {
    expect(Kind::bytes, name, "a message");
    return {file_, value_, text(source_, ", ", name)};
  }

  /// For what the caller finds wrong.
  [[noreturn]] void fail(const std::string& what) const {
    const auto offset = static_cast<std::size_t>(bytes_.data() - file_.data()) + at_;
    throw LoadError("parse_protobuf", text(source_, ", before byte ", offset), text(what, "; is the file damaged?"));
  }

 private:
  enum class Kind : std::uint8_t {
    varint = 0,
    fixed64 = 1,
    bytes = 2,
    fixed32 = 5
  };  // wire types; 3 and 4, groups, are of the past
  static constexpr std::uint64_t max_number = (std::uint64_t{1} << 29) - 1;

  ProtobufReader(std::string_view file, std::string_view bytes, std::string source)
      : file_(file), bytes_(bytes), source_(std::move(source)) {}

  /// Seven bits a byte, the lowest first; the high bit says that more follow.
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("expected more of a number, got the end of the message");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      if (shift == 63 && byte > 1) break;
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    fail("expected a number of at most 64 bits, got a longer one");
  }

  /// Little-endian.
  std::uint64_t fixed(std::size_t size) {
    if (size > bytes_.size() - at_)
      fail(text("expected ", size, " bytes of field ", number_, ", got ", bytes_.size() - at_));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value |= std::uint64_t{static_cast<unsigned char>(bytes_[at_ + i])} << (8 * i);
    at_ += size;
    return value;
  }

  void expect(Kind kind, std::string_view name, std::string_view what) const {
    if (kind_ != kind) fail(text(name, ": expected ", what, ", got wire type ", static_cast<unsigned>(kind_)));
  }

  std::string_view file_;
  std::string_view bytes_;
  std::string source_;
  std::size_t at_ = 0;
  std::uint64_t number_ = 0;
  Kind kind_ = Kind::varint;
  std::uint64_t integer_ = 0;
  std::string_view value_;
};

}  // namespace greentrainer
