#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/byte_level.hpp"
#include "greentrainer/tokenizers/character_classes.hpp"
#include "greentrainer/tokenizers/normal_form.hpp"
#include "greentrainer/tokenizers/normalizer_step.hpp"
#include "greentrainer/tokenizers/unicode.hpp"

namespace greentrainer {

namespace detail {

/// Calls f(code point, begin, end) for each character.
template <class F>
void for_each_character(std::string_view text, F f) {
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    f(c.code, i, i + c.length);
    i += c.length;
  }
}

template <class Keep>
TracedText filtered(const TracedText& text, Keep keep) {
  TracedText result = text.empty_copy();
  result.reserve(text.size());
  for_each_character(text.text(), [&](char32_t c, std::size_t begin, std::size_t end) {
    if (keep(c)) result.append(text, begin, end);
  });
  return result;
}

inline TracedText lower_case(const TracedText& text) {
  std::vector<TracedText::Change> changes;
  for_each_character(text.text(), [&](char32_t c, std::size_t begin, std::size_t end) {
    if (c < 0x80) {
      changes.push_back({c >= 'A' && c <= 'Z' ? c + 32 : c, 0});
      return;
    }
    int change = 0;
    for_each_character(unicode::lower(std::string_view(text.text()).substr(begin, end - begin)),
                       [&](char32_t lower, std::size_t, std::size_t) {
                         changes.push_back({lower, change});
                         change = 1;
                       });
  });
  return text.changed(changes);
}

class NormalFormNormalizer final : public Normalizer {
 public:
  explicit NormalFormNormalizer(NormalForm form) : changes_(form) {}
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    if (unicode::detail::is_ascii(text.text())) {
      budget.wrote(text.size(), part);
      return text;
    }
    budget.spend(text.size() * steps_per_byte, part);
    TracedText result = text.changed(changes_.of(text.text()));
    budget.wrote(result.size(), part);
    return result;
  }

 private:
  static constexpr std::size_t steps_per_byte = 64;
  NormalFormChanges changes_;
};

class LowercaseNormalizer final : public Normalizer {
 public:
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    TracedText result = lower_case(text);
    budget.wrote(result.size(), part);
    return result;
  }
};

class StripAccentsNormalizer final : public Normalizer {
 public:
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    budget.wrote(text.size(), part);
    return filtered(text, [](char32_t c) { return !character_classes::is_mark(c); });
  }
};

/// What machine translation takes out or reads as a space.
class NmtNormalizer final : public Normalizer {
 public:
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    budget.wrote(text.size(), part);
    text = filtered(text, [](char32_t c) {
      return !((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F ||
               c == 0x9F);
    });
    std::vector<TracedText::Change> changes;
    for_each_character(text.text(), [&](char32_t c, std::size_t, std::size_t) {
      const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
                         c == 0xFFFD;
      changes.push_back({space ? U' ' : c, 0});
    });
    return text.changed(changes);
  }
};

/// Every byte by its GPT-2 name.
class ByteLevelNormalizer final : public Normalizer {
 public:
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    TracedText result = ByteLevelAlphabet::instance().named(text);
    budget.wrote(result.size(), part);
    return result;
  }
};

/// BERT's: blanks and control characters, spaces around Chinese characters, accents, case.
class BertNormalizer final : public Normalizer {
 public:
  struct Options {
    bool clean_text = true;
    bool handle_chinese_chars = true;
    bool lowercase = true;
    bool strip_accents = true;
  };
  explicit BertNormalizer(Options options) : options_(options) {}

  TracedText normalize(TracedText text, TextBudget& budget) const override {
    if (options_.clean_text) text = cleaned(text);
    if (options_.handle_chinese_chars) text = spaced(text);
    budget.require_size(text.size(), part);
    if (options_.strip_accents) {
      text = decomposed_.normalize(std::move(text), budget);
      text = filtered(text, [](char32_t c) { return !character_classes::is_nonspacing_mark(c); });
    }
    if (options_.lowercase) text = lower_case(text);
    budget.wrote(text.size(), part);
    return text;
  }

 private:
  static TracedText cleaned(const TracedText& text) {
    const TracedText kept = filtered(text, [](char32_t c) {
      const bool blank = c == '\t' || c == '\n' || c == '\r';
      return c != 0 && c != 0xFFFD && (blank || !character_classes::is_control(c));
    });
    std::vector<TracedText::Change> changes;
    for_each_character(kept.text(), [&](char32_t c, std::size_t, std::size_t) {
      changes.push_back({is_unicode_space(c) ? U' ' : c, 0});
    });
    return kept.changed(changes);
  }

  static TracedText spaced(const TracedText& text) {
    std::vector<TracedText::Change> changes;
    for_each_character(text.text(), [&](char32_t c, std::size_t, std::size_t) {
      if (is_chinese(c))
        changes.insert(changes.end(), {{U' ', 0}, {c, 1}, {U' ', 1}});
      else
        changes.push_back({c, 0});
    });
    return text.changed(changes);
  }

  /// As `tokenizers` has the ranges, with its gap from U+2B820 to U+2B91F.
  static constexpr bool is_chinese(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
  }

  Options options_;
  NormalFormNormalizer decomposed_{NormalForm::nfd};
};

}  // namespace detail

}  // namespace greentrainer
