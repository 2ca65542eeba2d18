#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"

namespace greentrainer {

/// What Unicode says of characters and texts, by ICU, in its root locale. Texts are UTF-8 that was checked.
namespace unicode {

/// ICU's UTF-16. Throws DataError for a text whose length ICU cannot count.
inline std::vector<UChar> to_utf16(std::string_view text) {
  if (text.size() > (std::size_t{1} << 28))
    throw DataError("unicode", greentrainer::text("text of ", text.size(), " bytes"), "expected at most 256 MiB");
  std::vector<UChar> result(text.size() + 1);
  std::int32_t length = 0;
  UErrorCode status = U_ZERO_ERROR;
  u_strFromUTF8(result.data(), static_cast<std::int32_t>(result.size()), &length, text.data(),
                static_cast<std::int32_t>(text.size()), &status);
  if (U_FAILURE(status)) throw DataError("unicode", "text", "expected UTF-8, got something else");
  result.resize(static_cast<std::size_t>(length));
  return result;
}

inline std::string to_utf8(const std::vector<UChar>& text) {
  std::string result(text.size() * 3, '\0');
  std::int32_t length = 0;
  UErrorCode status = U_ZERO_ERROR;
  u_strToUTF8(result.data(), static_cast<std::int32_t>(result.size()), &length, text.data(),
              static_cast<std::int32_t>(text.size()), &status);
  result.resize(static_cast<std::size_t>(length));
  return result;
}

namespace detail {

/// Runs a function of ICU that writes UTF-16, a second time where the result needs more room.
template <class Write>
std::string converted(std::string_view text, Write write) {
  const std::vector<UChar> source = to_utf16(text);
  std::vector<UChar> result(source.size() + 16);
  for (;;) {
    UErrorCode status = U_ZERO_ERROR;
    const std::int32_t length = write(result.data(), static_cast<std::int32_t>(result.size()), source.data(),
                                      static_cast<std::int32_t>(source.size()), &status);
    if (status != U_BUFFER_OVERFLOW_ERROR && U_FAILURE(status))
      throw DataError("unicode", "text",
                      greentrainer::text("expected a text that ICU takes, got ", u_errorName(status)));
    const bool fits = static_cast<std::size_t>(length) <= result.size();
    result.resize(static_cast<std::size_t>(length));
    if (fits) return to_utf8(result);
  }
}

inline bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace detail

/// The text in upper or lower case, by Unicode's full mappings: "ß" becomes "SS".
inline std::string upper(std::string_view text) {
  if (detail::is_ascii(text)) {
    std::string result(text);
    for (char& c : result) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    return result;
  }
  return detail::converted(text, [](UChar* to, std::int32_t room, const UChar* from, std::int32_t n,
                                    UErrorCode* status) { return u_strToUpper(to, room, from, n, "", status); });
}
inline std::string lower(std::string_view text) {
  if (detail::is_ascii(text)) {
    std::string result(text);
    for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return result;
  }
  return detail::converted(text, [](UChar* to, std::int32_t room, const UChar* from, std::int32_t n,
                                    UErrorCode* status) { return u_strToLower(to, room, from, n, "", status); });
}

inline bool is_letter(char32_t c) { return u_isalpha(static_cast<UChar32>(c)) != 0; }
inline bool is_decimal(char32_t c) { return u_charType(static_cast<UChar32>(c)) == U_DECIMAL_DIGIT_NUMBER; }
inline bool is_upper(char32_t c) { return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_UPPERCASE) != 0; }
inline bool is_lower(char32_t c) { return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_LOWERCASE) != 0; }
inline char32_t title(char32_t c) { return static_cast<char32_t>(u_totitle(static_cast<UChar32>(c))); }

/// Whether a version of Unicode has the character.
inline bool is_in_version(char32_t c, unsigned major) {
  if (c < 0x80) return true;
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] != 0 && age[0] <= major;
}

/// Whether Python's repr shows the character as it is: not control characters, formats, surrogates, private or
/// unassigned ones, and no separator but the space.
inline bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  constexpr std::uint32_t hidden = U_GC_C_MASK | U_GC_Z_MASK;
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & hidden) == 0;
}

}  // namespace unicode

}  // namespace greentrainer
