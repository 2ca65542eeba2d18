#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/utf8.hpp"
#include "greentrainer/io/base64.hpp"
#include "greentrainer/tokenizers/character_normalizers.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/normalizer_step.hpp"
#include "greentrainer/tokenizers/precompiled_charsmap.hpp"
#include "greentrainer/tokenizers/text_budget.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

namespace detail {

class PrependNormalizer final : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    if (text.size() > 0) text.prepend(prefix_);
    budget.wrote(text.size(), part);
    return text;
  }

 private:
  std::string prefix_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    return pattern_.replace(text, content_, budget, part);
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

/// Takes white space off the ends.
class StripNormalizer final : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    budget.wrote(text.size(), part);
    std::size_t begin = 0;
    std::size_t end = 0;  // behind the last character that stays
    for (std::size_t i = 0; i < text.size();) {
      const auto c = utf8_char_at(text.text(), i);
      const bool space = is_unicode_space(c.code);
      if (space && left_ && begin == i) begin = i + c.length;
      i += c.length;
      if (!space || !right_) end = i;
    }
    return begin < end ? text.substr(begin, end) : text.empty_copy();
  }

 private:
  bool left_;
  bool right_;
};

/// SentencePiece's compiled rules, as Hugging Face applies them: not to the longest key at each place, but to
/// user-perceived characters (Unicode's extended grapheme clusters) of fewer than 6 bytes as a whole, where a key of
/// them is a start of one, and otherwise to single characters.
class PrecompiledNormalizer final : public Normalizer {
 public:
  explicit PrecompiledNormalizer(PrecompiledCharsmap charsmap) : charsmap_(std::move(charsmap)) {}

  TracedText normalize(TracedText text, TextBudget& budget) const override {
    const std::string_view input = text.text();
    TracedText result = text.empty_copy();
    result.reserve(input.size());
    for (std::size_t begin = 0; begin < input.size();) {
      std::size_t end = begin + 1;
      while (end < input.size() && !parts(input[end - 1], input[end])) ++end;
      if (end - begin == 1)
        append_character(text, begin, end, result);
      else
        append_stretch(text, begin, end, result, budget);
      budget.require_size(result.size(), part);
      begin = end;
    }
    budget.wrote(result.size(), part);
    return result;
  }

 private:
  static constexpr std::size_t longest_whole_cluster = 5;

  /// Whether clusters certainly end between two bytes: between ASCII characters all but CR LF do. Spares plain text the
  /// regular expression.
  static bool parts(char left, char right) {
    const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    return ascii(left) && ascii(right) && !(left == '\r' && right == '\n');
  }

  /// Whether a regional indicator, half of a flag, stands at `i`.
  static bool is_regional_indicator(std::string_view text, std::size_t i) {
    return text.substr(i, 3) == "\xF0\x9F\x87" && i + 3 < text.size() &&
           static_cast<unsigned char>(text[i + 3]) >= 0xA6;
  }

  /// Which of a run of regional indicators belong together depends on how many come before: PCRE2 counts them for each,
  /// in time quadratic in their number. But a cluster of one and anything else has 6 bytes or more, and is taken by
  /// characters anyway: so the inner ones of a run need no pattern.
  void append_stretch(const TracedText& text, std::size_t begin, std::size_t end, TracedText& result,
                      TextBudget& budget) const {
    constexpr std::size_t length = 4;
    const std::string_view stretch = std::string_view(text.text()).substr(0, end);
    for (std::size_t i = begin; i < end;) {
      std::size_t behind = i;
      while (behind < end && is_regional_indicator(stretch, behind)) behind += length;
      if (behind - i >= 3 * length) {
        append_clusters(text, begin, i + length, result, budget);
        for (i += length; i < behind - length; i += length) append_character(text, i, i + length, result);
        begin = i;
        budget.require_size(result.size(), part);
      }
      i = std::max(behind, i + 1);
    }
    append_clusters(text, begin, end, result, budget);
  }

  void append_clusters(const TracedText& text, std::size_t begin, std::size_t end, TracedText& result,
                       TextBudget& budget) const {
    const auto stretch = std::string_view(text.text()).substr(begin, end - begin);
    clusters_.for_each_match(stretch, budget, [&](std::size_t from, std::size_t to) {
      append_cluster(text, begin + from, begin + to, result);
      budget.require_size(result.size(), part);
    });
  }

  void append_cluster(const TracedText& text, std::size_t begin, std::size_t end, TracedText& result) const {
    const std::string_view cluster = std::string_view(text.text()).substr(begin, end - begin);
    if (cluster.size() <= longest_whole_cluster) {
      if (const auto replacement = charsmap_.find(cluster)) {
        result.append_characters(*replacement, text, begin, end);
        return;
      }
    }
    for (std::size_t i = begin; i < end;) {
      const auto length = utf8_char_at(text.text(), i).length;
      append_character(text, i, i + length, result);
      i += length;
    }
  }

  void append_character(const TracedText& text, std::size_t begin, std::size_t end, TracedText& result) const {
    const std::string_view character = std::string_view(text.text()).substr(begin, end - begin);
    result.append_characters(charsmap_.find(character).value_or(character), text, begin, end);
  }

  PrecompiledCharsmap charsmap_;
  // PCRE2's \X, and the marks of Unicode 15 to 17, for versions of PCRE2 that do not know them; nothing follows a
  // control character. Of these, only clusters of fewer than 6 bytes matter.
  Regex clusters_{R"(\X(?:(?<![\p{Cc}\x{ad}\x{61c}])[\x{897}\x{cf3}\x{ece}\x{1acf}-\x{1add}\x{1ae0}-\x{1aeb}]\p{M}*)*)",
                  "grapheme clusters", Regex::Origin::own};
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  TracedText normalize(TracedText text, TextBudget& budget) const override {
    for (const auto& step : parts_) text = step->normalize(std::move(text), budget);
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

}  // namespace detail

namespace detail {

/// Normalizers that have no fields; null for another type.
inline std::unique_ptr<Normalizer> make_plain_normalizer(std::string_view type) {
  if (type == "NFC") return std::make_unique<NormalFormNormalizer>(NormalForm::nfc);
  if (type == "NFD") return std::make_unique<NormalFormNormalizer>(NormalForm::nfd);
  if (type == "NFKC") return std::make_unique<NormalFormNormalizer>(NormalForm::nfkc);
  if (type == "NFKD") return std::make_unique<NormalFormNormalizer>(NormalForm::nfkd);
  if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
  if (type == "StripAccents") return std::make_unique<StripAccentsNormalizer>();
  if (type == "Nmt") return std::make_unique<NmtNormalizer>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  return nullptr;
}

}  // namespace detail

/// The normalizer that a part of tokenizer.json describes. Throws LoadError for a type that is not supported.
inline std::unique_ptr<Normalizer> make_normalizer(const Component& component) {
  const auto type = component.type();
  if (auto plain = detail::make_plain_normalizer(type)) {
    component.allow({});
    return plain;
  }
  if (type == "BertNormalizer") {
    component.allow({"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
    const bool lowercase = component.flag_or("lowercase", true);
    const detail::BertNormalizer::Options options{
        .clean_text = component.flag_or("clean_text", true),
        .handle_chinese_chars = component.flag_or("handle_chinese_chars", true),
        .lowercase = lowercase,
        .strip_accents = component.flag_or("strip_accents", lowercase)};
    return std::make_unique<detail::BertNormalizer>(options);
  }
  if (type == "Prepend") {
    component.allow({"prepend"});
    return std::make_unique<detail::PrependNormalizer>(component.text_of("prepend"));
  }
  if (type == "Replace") {
    component.allow({"pattern", "content"});
    return std::make_unique<detail::ReplaceNormalizer>(
        TextPattern(Component(component.at("pattern"), component.source() + ".pattern")), component.text_of("content"));
  }
  if (type == "Strip") {
    component.allow({"strip_left", "strip_right"});
    return std::make_unique<detail::StripNormalizer>(component.flag_or("strip_left", true),
                                                     component.flag_or("strip_right", true));
  }
  if (type == "Precompiled") {
    component.allow({"precompiled_charsmap"});
    const auto source = component.source() + ".precompiled_charsmap";
    const auto bytes = decode_base64(component.text_of("precompiled_charsmap"));
    if (!bytes) throw LoadError("load_tokenizer", source, "expected base64, got something else");
    return std::make_unique<detail::PrecompiledNormalizer>(PrecompiledCharsmap(*bytes, source));
  }
  if (type == "Sequence") {
    component.allow({"normalizers"});
    std::vector<std::unique_ptr<Normalizer>> parts;
    for (const auto& part : component.list_of("normalizers")) parts.push_back(make_normalizer(part));
    return std::make_unique<detail::NormalizerSequence>(std::move(parts));
  }
  component.fail_unknown_type(
      "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, BertNormalizer, Nmt, ByteLevel, Prepend, Replace, Strip, "
      "Precompiled, Sequence");
}

}  // namespace greentrainer
