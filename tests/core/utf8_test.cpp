// UTF-8: as many well-formed sequences as there are code points, each its own.

#include "greentrainer/core/utf8.hpp"

#include <doctest/doctest.h>

using namespace greentrainer;

TEST_CASE("every code point is written and read back, and nothing else is UTF-8") {
  std::size_t code_points = 0, wrong = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    ++code_points;
    std::string text;
    append_utf8(text, c);
    const Utf8Char read = utf8_char_at(text, 0);
    wrong += !read.valid || read.code != c || read.length != text.size() ? 1 : 0;
  }
  CHECK(wrong == 0);

  // All sequences of up to three bytes; of four, all whose last is a continuation byte.
  std::size_t well_formed = 0;
  std::string bytes(4, '\0');
  const auto count = [&](std::size_t length) {
    const Utf8Char read = utf8_char_at(std::string_view(bytes).substr(0, length), 0);
    well_formed += read.valid && read.length == length ? 1 : 0;
  };
  for (unsigned first = 0; first < 256; ++first) {
    bytes[0] = static_cast<char>(first);
    count(1);
    for (unsigned second = 0; second < 256; ++second) {
      bytes[1] = static_cast<char>(second);
      count(2);
      for (unsigned third = 0; third < 256; ++third) {
        bytes[2] = static_cast<char>(third);
        count(3);
        if (first < 0xF0) continue;
        for (unsigned fourth = 0x80; fourth < 0xC0; ++fourth) {
          bytes[3] = static_cast<char>(fourth);
          count(4);
        }
      }
    }
  }
  CHECK(well_formed == code_points);
}

TEST_CASE("what is not UTF-8 becomes U+FFFD, one for each longest start of a sequence, as Unicode recommends") {
  const std::string r = "\xEF\xBF\xBD";
  CHECK(replace_invalid_utf8("a\xFFz") == "a" + r + "z");
  CHECK(replace_invalid_utf8("\xE2\x82") == r);  // cut short: one
  CHECK(replace_invalid_utf8("\xE2\x82z") == r + "z");
  CHECK(replace_invalid_utf8("\xC0\xAF") == r + r);                  // overlong
  CHECK(replace_invalid_utf8("\xED\xA0\x80") == r + r + r);          // a surrogate
  CHECK(replace_invalid_utf8("\xF4\x90\x80\x80") == r + r + r + r);  // beyond U+10FFFF
  CHECK(replace_invalid_utf8("\xF0\x9F\x98\xF0\x9F\x98\x80") == r + "\xF0\x9F\x98\x80");
  CHECK(replace_invalid_utf8("caf\xC3\xA9") == "caf\xC3\xA9");
}

TEST_CASE("where the first byte that is not UTF-8 stands") {
  CHECK(find_invalid_utf8("") == std::string_view::npos);
  CHECK(find_invalid_utf8("caf\xC3\xA9") == std::string_view::npos);
  CHECK(find_invalid_utf8("caf\xC3") == 3);
  CHECK(find_invalid_utf8("\xC3\xA9\x80") == 2);
}
