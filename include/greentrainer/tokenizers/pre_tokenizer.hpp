#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/tokenizers/byte_level.hpp"
#include "greentrainer/tokenizers/character_classes.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/text_budget.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

/// A part of a text on its way to the model. `at_start`: it begins where the whole input began.
struct TextPiece {
  TracedText text;
  bool at_start = false;
};

/// Cuts a text into the pieces that the model sees one by one: the "pre_tokenizer" of tokenizer.json. Pieces are never
/// empty.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Throws DataError for a text that a pattern takes more steps on, or a step makes longer, than the budget allows.
  virtual void split(std::vector<TextPiece>& pieces, TextBudget& budget) const = 0;

 protected:
  static constexpr std::string_view part = "pre_tokenizer";  // of the tokenizer's file, for errors
};

/// What becomes of the matches of a pattern that a text is split at; see Hugging Face tokenizers'
/// SplitDelimiterBehavior.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// The pieces of a text by that rule, as ranges of bytes.
inline std::vector<PatternRange> split_ranges(std::vector<PatternRange> ranges, SplitBehavior behavior) {
  std::vector<PatternRange> result;
  bool previous = false;
  const auto merge = [&](const PatternRange& range, bool joins) {
    if (joins && !result.empty()) {
      result.back().begin = std::min(result.back().begin, range.begin);
      result.back().end = std::max(result.back().end, range.end);
    } else {
      result.push_back(range);
    }
    previous = range.match;
  };
  switch (behavior) {
    case SplitBehavior::isolated: return ranges;
    case SplitBehavior::removed:
      std::erase_if(ranges, [](const PatternRange& range) { return range.match; });
      return ranges;
    case SplitBehavior::merged_with_previous:
      for (const auto& range : ranges) merge(range, range.match && !previous);
      return result;
    case SplitBehavior::merged_with_next:
      std::reverse(ranges.begin(), ranges.end());
      for (const auto& range : ranges) merge(range, range.match && !previous);
      std::reverse(result.begin(), result.end());
      return result;
    case SplitBehavior::contiguous:
      for (const auto& range : ranges) merge(range, range.match == previous);
      return result;
  }
  return ranges;
}

namespace detail {

inline void split_pieces(std::vector<TextPiece>& pieces, const TextPattern& pattern, SplitBehavior behavior,
                         TextBudget& budget, bool invert = false) {
  std::vector<TextPiece> result;
  result.reserve(pieces.size());
  for (const auto& piece : pieces) {
    budget.wrote(piece.text.size(), "pre_tokenizer");
    auto ranges = pattern.ranges(piece.text.text(), budget);
    if (invert) {
      for (auto& range : ranges) range.match = !range.match;
    }
    for (const auto& range : split_ranges(std::move(ranges), behavior)) {
      result.push_back({piece.text.substr(range.begin, range.end), piece.at_start && range.begin == 0});
    }
  }
  pieces = std::move(result);
}

class SplitPreTokenizer final : public PreTokenizer {
 public:
  SplitPreTokenizer(TextPattern pattern, SplitBehavior behavior, bool invert = false)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void split(std::vector<TextPiece>& pieces, TextBudget& budget) const override {
    split_pieces(pieces, pattern_, behavior_, budget, invert_);
  }

 private:
  TextPattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

/// SentencePiece's spaces: they become a visible character that begins words.
class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  enum class Prepend { always, first, never };
  MetaspacePreTokenizer(std::string replacement, Prepend prepend, bool split)
      : replacement_(replacement),
        space_(TextPattern::literal(" ")),
        mark_(TextPattern::literal(std::move(replacement))),
        prepend_(prepend),
        split_(split) {}

  void split(std::vector<TextPiece>& pieces, TextBudget& budget) const override {
    std::size_t size = 0;
    for (auto& piece : pieces) {
      piece.text = space_.replace(piece.text, replacement_, budget, part);
      const bool wanted = prepend_ == Prepend::always || (prepend_ == Prepend::first && piece.at_start);
      if (wanted && !piece.text.text().starts_with(replacement_)) piece.text.prepend(replacement_);
      budget.require_size(size += piece.text.size(), part);
    }
    if (split_) split_pieces(pieces, mark_, SplitBehavior::merged_with_next, budget);
  }

 private:
  std::string replacement_;
  TextPattern space_;
  TextPattern mark_;
  Prepend prepend_;
  bool split_;
};

/// Words; the white space between them goes.
class WhitespacePreTokenizer final : public PreTokenizer {
 public:
  void split(std::vector<TextPiece>& pieces, TextBudget& budget) const override {
    split_pieces(pieces, space_, SplitBehavior::removed, budget);
  }

 private:
  TextPattern space_{Regex(R"(\s)", "white space pre-tokenizer")};
};

class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> parts) : parts_(std::move(parts)) {}
  void split(std::vector<TextPiece>& pieces, TextBudget& budget) const override {
    for (const auto& step : parts_) step->split(pieces, budget);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

/// Pieces of so many characters.
class FixedLengthPreTokenizer final : public PreTokenizer {
 public:
  explicit FixedLengthPreTokenizer(std::size_t length) : length_(length) {}

  void split(std::vector<TextPiece>& pieces, TextBudget& budget) const override {
    std::vector<TextPiece> result;
    for (const TextPiece& piece : pieces) {
      budget.wrote(piece.text.size(), part);
      const std::string& bytes = piece.text.text();
      for (std::size_t begin = 0; begin < bytes.size();) {
        std::size_t end = begin;
        for (std::size_t i = 0; i < length_ && end < bytes.size(); ++i) end += utf8_char_at(bytes, end).length;
        result.push_back({piece.text.substr(begin, end), piece.at_start && begin == 0});
        begin = end;
      }
    }
    pieces = std::move(result);
  }

 private:
  std::size_t length_;
};

inline std::unique_ptr<PreTokenizer> split_at_punctuation(SplitBehavior behavior) {
  return std::make_unique<SplitPreTokenizer>(TextPattern::characters(&character_classes::is_punctuation), behavior);
}

/// White space goes, punctuation stands alone.
inline std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer() {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(std::make_unique<WhitespacePreTokenizer>());
  steps.push_back(split_at_punctuation(SplitBehavior::isolated));
  return std::make_unique<PreTokenizerSequence>(std::move(steps));
}

inline SplitBehavior split_behavior(const Component& component) {
  const auto name = component.text_of("behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  component.fail(
      text("expected behavior Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, got \"", name, '"'));
}

inline std::unique_ptr<PreTokenizer> make_split(const Component& component) {
  component.allow({"pattern", "behavior", "invert"});
  return std::make_unique<SplitPreTokenizer>(
      TextPattern(Component(component.at("pattern"), component.source() + ".pattern")), split_behavior(component),
      component.flag_or("invert", false));
}

inline std::unique_ptr<PreTokenizer> make_metaspace(const Component& component) {
  using Prepend = MetaspacePreTokenizer::Prepend;
  component.allow({"replacement", "str_rep", "prepend_scheme", "add_prefix_space", "split"});
  auto prepend = component.flag_or("add_prefix_space", true) ? Prepend::always
                                                             : Prepend::never;  // files from before prepend_scheme
  if (component.find("prepend_scheme") != nullptr) {
    const auto name = component.text_of("prepend_scheme");
    if (name == "always")
      prepend = Prepend::always;
    else if (name == "first")
      prepend = Prepend::first;
    else if (name == "never")
      prepend = Prepend::never;
    else
      component.fail(text("expected prepend_scheme always, first or never, got \"", name, '"'));
  }
  return std::make_unique<MetaspacePreTokenizer>(component.character_of("replacement"), prepend,
                                                 component.flag_or("split", true));
}

}  // namespace detail

/// GPT-2's pre-tokenizer: words with the space before them, numbers, other signs, runs of spaces; then every byte by
/// its name.
class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  explicit ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex = true)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  void split(std::vector<TextPiece>& pieces, TextBudget& budget) const override {
    if (add_prefix_space_) {
      for (auto& piece : pieces) {
        if (!piece.text.text().starts_with(' ')) piece.text.prepend(" ");
      }
    }
    if (use_regex_) detail::split_pieces(pieces, pattern_, SplitBehavior::isolated, budget);
    std::size_t size = 0;
    for (auto& piece : pieces) {
      piece.text = ByteLevelAlphabet::instance().named(piece.text);
      budget.require_size(size += piece.text.size(), part);
    }
    budget.wrote(size, part);
  }

 private:
  bool add_prefix_space_;
  bool use_regex_;
  TextPattern pattern_{Regex(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
                             "byte-level pre-tokenizer")};
};

/// The pre-tokenizer that a part of tokenizer.json describes. Throws LoadError for a type that is not supported.
inline std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Component& component) {
  const auto type = component.type();
  if (type == "ByteLevel") {
    component.allow({"add_prefix_space", "trim_offsets", "use_regex"});
    return std::make_unique<ByteLevelPreTokenizer>(component.flag_or("add_prefix_space", true),
                                                   component.flag_or("use_regex", true));
  }
  if (type == "Digits") {
    component.allow({"individual_digits"});
    const auto behavior =
        component.flag_or("individual_digits", false) ? SplitBehavior::isolated : SplitBehavior::contiguous;
    return std::make_unique<detail::SplitPreTokenizer>(TextPattern(Regex(R"(\p{N})", component.source())), behavior);
  }
  if (type == "Split") return detail::make_split(component);
  if (type == "Metaspace") return detail::make_metaspace(component);
  if (type == "WhitespaceSplit") {
    component.allow({});
    return std::make_unique<detail::WhitespacePreTokenizer>();
  }
  if (type == "Whitespace") {
    component.allow({});
    // Words, and runs of what is neither word nor space.
    constexpr std::string_view words =
        R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\s]+)";
    return std::make_unique<detail::SplitPreTokenizer>(TextPattern(Regex(words, component.source())),
                                                       SplitBehavior::removed, true);
  }
  if (type == "BertPreTokenizer") {
    component.allow({});
    return detail::make_bert_pre_tokenizer();
  }
  if (type == "Punctuation") {
    component.allow({"behavior"});
    const auto behavior =
        component.find("behavior") != nullptr ? detail::split_behavior(component) : SplitBehavior::isolated;
    return detail::split_at_punctuation(behavior);
  }
  if (type == "CharDelimiterSplit") {
    component.allow({"delimiter"});
    return std::make_unique<detail::SplitPreTokenizer>(TextPattern::literal(component.character_of("delimiter")),
                                                       SplitBehavior::removed);
  }
  if (type == "FixedLength") {
    component.allow({"length"});
    const std::size_t length = component.count_of("length");
    if (length == 0) component.fail("expected a length of at least 1, got 0");
    return std::make_unique<detail::FixedLengthPreTokenizer>(length);
  }
  if (type == "Sequence") {
    component.allow({"pretokenizers"});
    std::vector<std::unique_ptr<PreTokenizer>> parts;
    for (const auto& part : component.list_of("pretokenizers")) parts.push_back(make_pre_tokenizer(part));
    return std::make_unique<detail::PreTokenizerSequence>(std::move(parts));
  }
  component.fail_unknown_type(
      "ByteLevel, Digits, Split, Metaspace, Whitespace, WhitespaceSplit, BertPreTokenizer, Punctuation, "
      "CharDelimiterSplit, FixedLength, Sequence");
}

}  // namespace greentrainer
