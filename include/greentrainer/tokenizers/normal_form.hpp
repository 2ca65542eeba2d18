#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/character_classes.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

/// Unicode's normal forms, with the characters that each comes from by the rules of Hugging Face's `tokenizers`.
enum class NormalForm { nfc, nfd, nfkc, nfkd };

namespace detail {

/// Decomposes character by character, and puts marks in their order; then composes again.
class NormalFormChanges {
 public:
  using Change = TracedText::Change;

  explicit NormalFormChanges(NormalForm form) : composes_(form == NormalForm::nfc || form == NormalForm::nfkc) {
    const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
    UErrorCode status = U_ZERO_ERROR;
    decomposer_ = compatible ? unorm2_getNFKDInstance(&status) : unorm2_getNFDInstance(&status);
    composer_ = unorm2_getNFCInstance(&status);
    if (U_FAILURE(status)) throw LoadError("load_tokenizer", "normalizer", "expected ICU's data of Unicode, got none");
  }

  std::vector<Change> of(std::string_view text) const {
    std::vector<Change> result;
    for (std::size_t i = 0; i < text.size();) {
      const auto c = utf8_char_at(text, i);
      decompose(c.code, result);
      i += c.length;
    }
    order_marks(result);
    return composes_ ? composed(result) : result;
  }

 private:
  static bool is_known(char32_t c) { return unicode::is_in_version(c, character_classes::version_of_normal_forms); }
  static std::uint8_t class_of(char32_t c) {
    const std::uint8_t its_class = u_getCombiningClass(static_cast<UChar32>(c));
    return its_class != 0 && is_known(c) ? its_class : std::uint8_t{0};
  }

  void decompose(char32_t c, std::vector<Change>& out) const {
    if (c < 0x80) {
      out.push_back({c, 0});
      return;
    }
    std::array<UChar, 64> buffer;  // the longest has 18
    UErrorCode status = U_ZERO_ERROR;
    const std::int32_t length = unorm2_getDecomposition(decomposer_, static_cast<UChar32>(c), buffer.data(),
                                                        static_cast<std::int32_t>(buffer.size()), &status);
    if (length < 0 || U_FAILURE(status) || !is_known(c)) {
      out.push_back({c, 0});
      return;
    }
    for (std::int32_t i = 0; i < length;) {
      const bool first = i == 0;
      UChar32 part = 0;
      U16_NEXT(buffer.data(), i, length, part);
      out.push_back({static_cast<char32_t>(part), first ? 0 : 1});
    }
  }

  static void order_marks(std::vector<Change>& characters) {
    for (std::size_t i = 0; i < characters.size();) {
      if (class_of(characters[i].character) == 0) {
        ++i;
        continue;
      }
      std::size_t end = i;
      while (end < characters.size() && class_of(characters[end].character) != 0) ++end;
      std::stable_sort(characters.begin() + static_cast<std::ptrdiff_t>(i),
                       characters.begin() + static_cast<std::ptrdiff_t>(end),
                       [](const Change& a, const Change& b) { return class_of(a.character) < class_of(b.character); });
      i = end;
    }
  }

  /// Joins each mark to the last starter where the two have one character and nothing of its class lies between.
  std::vector<Change> composed(const std::vector<Change>& characters) const {
    constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::vector<Change> result;
    std::size_t starter = none;
    std::uint8_t last_class = 0;  // of what lies behind the starter; 0: nothing does
    for (const Change& c : characters) {
      const std::uint8_t its_class = class_of(c.character);
      const bool blocked = starter == none || (starter + 1 < result.size() && last_class >= its_class);
      if (!blocked) {
        const UChar32 joined = unorm2_composePair(composer_, static_cast<UChar32>(result[starter].character),
                                                  static_cast<UChar32>(c.character));
        if (joined >= 0 && is_known(static_cast<char32_t>(joined))) {
          result[starter] = {static_cast<char32_t>(joined), result[starter].change + c.change - 1};
          continue;
        }
      }
      if (its_class == 0) starter = result.size();
      last_class = its_class;
      result.push_back(c);
    }
    return result;
  }

  bool composes_;
  const UNormalizer2* decomposer_;
  const UNormalizer2* composer_;
};

}  // namespace detail

}  // namespace greentrainer
