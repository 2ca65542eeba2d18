#pragma once

#include <cstdint>
#include <unicode/uchar.h>

#include "greentrainer/tokenizers/unicode.hpp"

namespace greentrainer {

/// What Hugging Face's `tokenizers` 0.23 knows of characters: its tables are those of Unicode 8, for normal forms and
/// marks those of Unicode 9, and later characters are none of these.
namespace character_classes {

inline constexpr unsigned version_of_categories = 8, version_of_normal_forms = 9;

inline bool has_category(char32_t c, std::uint32_t categories) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & categories) != 0 && unicode::is_in_version(c, version_of_categories);
}

/// Marks that go with the character before: accents, vowel signs.
inline bool is_mark(char32_t c) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_M_MASK) != 0 &&
         unicode::is_in_version(c, version_of_normal_forms);
}
inline bool is_nonspacing_mark(char32_t c) { return has_category(c, U_GC_MN_MASK); }

/// Controls, formats, surrogates and private characters.
inline bool is_control(char32_t c) { return has_category(c, U_GC_C_MASK & ~U_GC_CN_MASK); }

/// ASCII's signs, and what Unicode calls punctuation.
inline bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  return has_category(c, U_GC_P_MASK);
}

}  // namespace character_classes

}  // namespace greentrainer
