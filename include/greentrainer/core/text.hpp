#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

namespace detail {

template <class Part>
concept PathLike = requires(const Part& part) {
  { part.string() } -> std::convertible_to<std::string>;
};

/// Appends one part of `text`.
template <class Part>
void append_text(std::string& out, const Part& part) {
  if constexpr (std::same_as<Part, bool>) {
    out += part ? "true" : "false";
  } else if constexpr (std::same_as<Part, char>) {
    out += part;
  } else if constexpr (std::is_arithmetic_v<Part>) {
    std::array<char, 40> digits;  // 64 bits need 20; 6 significant digits, sign, point and exponent fewer
    std::to_chars_result end;
    if constexpr (std::is_floating_point_v<Part>) {
      end = std::to_chars(digits.data(), digits.data() + digits.size(), part, std::chars_format::general, 6);
    } else {
      end = std::to_chars(digits.data(), digits.data() + digits.size(), part);
    }
    out.append(digits.data(), end.ptr);
  } else if constexpr (std::convertible_to<const Part&, std::string_view>) {
    out += static_cast<std::string_view>(part);
  } else if constexpr (std::is_pointer_v<Part>) {
    std::array<char, 2 * sizeof(void*)> digits;
    const auto address = reinterpret_cast<std::uintptr_t>(part);
    out.append("0x").append(digits.data(),
                            std::to_chars(digits.data(), digits.data() + digits.size(), address, 16).ptr);
  } else {
    static_assert(PathLike<Part>, "text() takes texts, characters, numbers, booleans, addresses and paths");
    out += part.string();
  }
}

}  // namespace detail

/// Concatenates its arguments: the text of an error in one expression. Takes texts, characters, numbers (floating-point
/// ones with 6 significant digits), booleans (`true`, `false`), addresses and paths. Without streams, since nearly
/// every header includes this one.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::string out;
  (detail::append_text(out, parts), ...);
  return out;
}

/// The shortest decimal number that reads back as this one.
inline std::string exact_text(double number) {
  std::array<char, 40> digits;
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr};
}

/// "(3072, 768)", as errors show shapes.
inline std::string shape_text(const std::vector<Extent>& shape) {
  std::string shown = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) shown += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return shown + ")";
}

}  // namespace greentrainer
