#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/tokenizers/byte_fallback.hpp"
#include "greentrainer/tokenizers/byte_level.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/text_budget.hpp"

namespace greentrainer {

/// Turns tokens back into text, step by step: the "decoder" of tokenizer.json. The text is what the last step leaves,
/// joined.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Throws DataError for tokens that a pattern takes more steps on, or a step makes longer, than the budget allows.
  virtual void decode(std::vector<std::string>& tokens, TextBudget& budget) const = 0;

 protected:
  static constexpr std::string_view part = "decoder";  // of the tokenizer's file, for errors
};

/// Bytes by their GPT-2 names. A token with a character that is no name (an added token) stands for itself.
class ByteLevelDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    std::string bytes;
    for (const auto& token : tokens) {
      const auto decoded = ByteLevelAlphabet::instance().decode(token);
      bytes += decoded ? *decoded : token;
    }
    tokens.assign(1, replace_invalid_utf8(bytes));
    budget.wrote(tokens.front().size(), part);
  }
};

namespace detail {

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    std::size_t size = 0;
    for (auto& token : tokens) {
      token = pattern_.replace(TracedText(token), content_, budget, part).text();
      budget.require_size(size += token.size(), part);
    }
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

/// Runs of byte tokens become the text they spell, or one U+FFFD a byte where they spell none.
class ByteFallbackDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    std::vector<std::string> result;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (find_invalid_utf8(bytes) == std::string_view::npos) {
        result.push_back(bytes);
      } else {
        result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      budget.wrote(bytes.size(), part);
      bytes.clear();
    };
    for (auto& token : tokens) {
      if (const auto byte = parse_byte_token(token)) {
        bytes.push_back(static_cast<char>(*byte));
      } else {
        flush();
        result.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(result);
  }
};

class FuseDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    std::string joined;
    for (const auto& token : tokens) joined += token;
    budget.wrote(joined.size(), part);
    tokens.assign(1, std::move(joined));
  }
};

/// Takes up to `start` and `stop` copies of a character off the ends of every token.
class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string content, std::size_t start, std::size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    for (auto& token : tokens) {
      budget.wrote(token.size(), part);
      std::string_view rest = token;
      for (std::size_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (std::size_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }

 private:
  std::string content_;
  std::size_t start_;
  std::size_t stop_;
};

/// Marks become spaces; in the first token they go, where the pre-tokenizer put one in front.
class MetaspaceDecoder final : public Decoder {
 public:
  MetaspaceDecoder(std::string replacement, bool prepended)
      : pattern_(TextPattern::literal(std::move(replacement))), prepended_(prepended) {}
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = pattern_.replace(TracedText(tokens[i]), i == 0 && prepended_ ? "" : " ", budget, part).text();
  }

 private:
  TextPattern pattern_;
  bool prepended_;
};

/// WordPiece's: a space in front of every token but the first and those that go on a word. `tidied`: no spaces in front
/// of signs and contractions.
class WordPieceDecoder final : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool tidied) : prefix_(std::move(prefix)), tidied_(tidied) {}
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0 && token.starts_with(prefix_))
        token.erase(0, prefix_.size());
      else if (i > 0)
        token.insert(0, " ");
      if (tidied_) tidy(token);
      budget.wrote(token.size() * (tidied_ ? 12 : 1), part);
    }
  }

 private:
  static void tidy(std::string& token) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> rules = {{{" .", "."},
                                                                                             {" ?", "?"},
                                                                                             {" !", "!"},
                                                                                             {" ,", ","},
                                                                                             {" ' ", "'"},
                                                                                             {" n't", "n't"},
                                                                                             {" 'm", "'m"},
                                                                                             {" do not", " don't"},
                                                                                             {" 's", "'s"},
                                                                                             {" 've", "'ve"},
                                                                                             {" 're", "'re"}}};
    for (const auto& [from, to] : rules) {
      std::string result;
      std::string_view rest = token;
      for (auto at = rest.find(from); at != std::string_view::npos; at = rest.find(from)) {
        result.append(rest.substr(0, at)).append(to);
        rest.remove_prefix(at + from.size());
      }
      token = result.append(rest);
    }
  }

  std::string prefix_;
  bool tidied_;
};

/// The mark at the ends of words becomes a space, and goes at the end of the text.
class WordEndDecoder final : public Decoder {
 public:
  explicit WordEndDecoder(std::string suffix) : pattern_(TextPattern::literal(std::move(suffix))) {}
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = pattern_.replace(TracedText(tokens[i]), i + 1 < tokens.size() ? " " : "", budget, part).text();
  }

 private:
  TextPattern pattern_;
};

class DecoderSequence final : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> parts) : parts_(std::move(parts)) {}
  void decode(std::vector<std::string>& tokens, TextBudget& budget) const override {
    for (const auto& step : parts_) step->decode(tokens, budget);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

}  // namespace detail

/// The decoder that a part of tokenizer.json describes. Throws LoadError for a type that is not supported.
inline std::unique_ptr<Decoder> make_decoder(const Component& component) {
  const auto type = component.type();
  if (type == "ByteLevel") {
    component.allow({"add_prefix_space", "trim_offsets", "use_regex"});
    return std::make_unique<ByteLevelDecoder>();
  }
  if (type == "ByteFallback") {
    component.allow({});
    return std::make_unique<detail::ByteFallbackDecoder>();
  }
  if (type == "Fuse") {
    component.allow({});
    return std::make_unique<detail::FuseDecoder>();
  }
  if (type == "Replace") {
    component.allow({"pattern", "content"});
    return std::make_unique<detail::ReplaceDecoder>(
        TextPattern(Component(component.at("pattern"), component.source() + ".pattern")), component.text_of("content"));
  }
  if (type == "Strip") {
    component.allow({"content", "start", "stop"});
    return std::make_unique<detail::StripDecoder>(component.character_of("content"), component.count_of("start"),
                                                  component.count_of("stop"));
  }
  if (type == "Metaspace") {
    component.allow({"replacement", "str_rep", "prepend_scheme", "add_prefix_space", "split"});
    const bool never = component.find("prepend_scheme") != nullptr ? component.text_of("prepend_scheme") == "never"
                                                                   : !component.flag_or("add_prefix_space", true);
    return std::make_unique<detail::MetaspaceDecoder>(component.character_of("replacement"), !never);
  }
  if (type == "WordPiece") {
    component.allow({"prefix", "cleanup"});
    return std::make_unique<detail::WordPieceDecoder>(
        component.find("prefix") != nullptr ? component.text_of("prefix") : "##", component.flag_or("cleanup", true));
  }
  if (type == "BPEDecoder") {
    component.allow({"suffix"});
    std::string suffix = component.find("suffix") != nullptr ? component.text_of("suffix") : "</w>";
    if (suffix.empty()) component.fail("expected a suffix, got an empty text");
    return std::make_unique<detail::WordEndDecoder>(std::move(suffix));
  }
  if (type == "Sequence") {
    component.allow({"decoders"});
    std::vector<std::unique_ptr<Decoder>> parts;
    for (const auto& part : component.list_of("decoders")) parts.push_back(make_decoder(part));
    return std::make_unique<detail::DecoderSequence>(std::move(parts));
  }
  component.fail_unknown_type(
      "ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, WordPiece, BPEDecoder, Sequence");
}

}  // namespace greentrainer
