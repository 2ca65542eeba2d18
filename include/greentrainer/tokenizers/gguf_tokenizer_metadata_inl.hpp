#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/bpe.hpp"
#include "greentrainer/tokenizers/gguf_tokenizer.hpp"
#include "greentrainer/tokenizers/gguf_tokenizer_metadata.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

namespace greentrainer {

namespace detail {

/// Texts that pre-tokenizers cut in different ways.
inline constexpr auto tokenizer_probes = std::to_array<std::string_view>({
    "Once upon a time, there was a little girl.",
    " a  b   c    d \t\te\n\nf \n \n\n  g\r\n  h   ",
    "1 12 123 1234 12345 3.14 1,000,000 x1y22z333 2nd 10th",
    "it's THEY'RE We'Ll I'd won't 'tis ''s \xE2\x80\x99s don\xE2\x80\x99t",
    "a_b __init__(self): # x+=1 != y; {\"k\": [1, 2]} </p> \\n $x^2$ ***bold*** -- ... !!! ?! =====",
    "na\xC3\xAFve caf\xC3\xA9 e\xCC\x81 \xC3\x89 \xC3\x9F \xC4\xB0 \xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 "
    "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E \xD8\xB3\xD9\x84\xD8\xA7\xD9\x85 "
    "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8\xE0\xA5\x8D\xE0\xA4\xA6\xE0\xA5\x80 \xF0\x9F\x98\x80\xF0\x9F\x91\x8D",
    "\xC2\xA0nbsp\xE2\x80\x8Bzero\xE3\x80\x80wide \xC2\xBD\xC2\xB2 \xE2\x85\xA7 \xD9\xA1\xD9\xA2\xD9\xA3 "
    "\xF0\x9D\x9F\x99",
    "CamelCaseWORDS mixedUP ALLCAPS http://example.com/a?b=c&d=%20 user@host",
});

/// Collects the keys of a tokenizer.
class GgufTokenizerKeys {
 public:
  GgufTokenizerKeys(const ModelFiles& files, const Tokenizer& tokenizer, Extent rows)
      : files_(&files), tokenizer_(&tokenizer), rows_(rows) {
    read_files();
    sentence_piece_ = tokenizer.id("<0x0A>").has_value();
    if (tokenizer.vocab_size() > rows) {
      refuse(
          text("expected at most ", rows, " tokens, as many as the embedding has rows, got ", tokenizer.vocab_size()));
    }
  }

  GgufTokenizerMetadata metadata(std::span<const Index> ends) {
    add("model", std::string(sentence_piece_ ? "llama" : "gpt2"));
    const std::size_t pre = result_.metadata.size();
    add("pre", std::string("default"));
    tokens();
    if (sentence_piece_)
      add("scores", scores());
    else
      add("merges", joined_merges());
    id("bos_token_id", tokenizer_->bos_id());
    end_ids(ends);
    id("unknown_token_id", tokenizer_->unk_id());
    id("padding_token_id", tokenizer_->pad_id());
    add("add_bos_token", tokenizer_->adds_bos());
    add("add_eos_token", tokenizer_->adds_eos());
    chat_templates();
    find_steps(pre);
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { throw ConfigError("gguf", source_, what); }
  void add(std::string_view key, GgufValue value) {
    result_.metadata.emplace_back(text("tokenizer.ggml.", key), std::move(value));
  }
  void id(std::string_view key, std::optional<Index> value) {
    if (value && *value >= 0 && *value < rows_) add(key, static_cast<std::uint32_t>(*value));
  }

  void read_files() {
    source_ = files_->source("tokenizer.json");
    if (files_->has("tokenizer.json")) {
      const Json json = parse_json(files_->read("tokenizer.json"), source_);
      const Json& model = json.at("model");
      if (!model.contains("merges")) {
        refuse(text("expected a model of type BPE, as GGUF's tokenizers gpt2 and llama are, got ",
                    model.value("type", std::string("another"))));
      }
      for (const Json& merge : model.at("merges")) {
        if (merge.is_array())
          merges_.emplace_back(merge.at(0).get<std::string>(), merge.at(1).get<std::string>());
        else
          merges_.push_back(parse_merges(merge.get<std::string>(), source_).at(0));
      }
      if (json.contains("added_tokens")) {
        for (const Json& token : json.at("added_tokens")) added_token(token);
      }
    } else if (files_->has("vocab.json") && files_->has("merges.txt")) {
      source_ = files_->source("vocab.json");
      merges_ = parse_merges(files_->read("merges.txt"), files_->source("merges.txt"));
    } else {
      refuse("expected it, or vocab.json and merges.txt, got neither; GGUF files have no other tokenizers");
    }
    const auto object = [&](const char* name) {
      return files_->has(name) ? parse_json(files_->read(name), files_->source(name)) : Json::object();
    };
    const Json config = object("tokenizer_config.json"), added = object("added_tokens.json");
    if (config.contains("added_tokens_decoder")) {
      for (const auto& [number, token] : config.at("added_tokens_decoder").items()) added_token(token);
    }
    for (const auto& [content, number] : added.items()) added_.emplace(content, false);
  }
  void added_token(const Json& token) {
    const bool flagged = token.value("lstrip", false) || token.value("rstrip", false);
    const auto [entry, is_new] = added_.emplace(token.at("content").get<std::string>(), flagged);
    entry->second = flagged;  // what is read later counts
  }

  void tokens() {
    std::vector<std::string> tokens;
    std::vector<std::int32_t> types;
    const auto add_token = [&](std::string token, GgufTokenType type) {
      tokens.push_back(std::move(token));
      types.push_back(static_cast<std::int32_t>(type));
    };
    for (Index i = 0; i < static_cast<Index>(rows_); ++i) {
      std::string token = tokenizer_->token(i);
      if (token.empty()) {
        do token = text("[PAD", i, token.empty() ? "]" : "]_");
        while (tokenizer_->id(token));
        add_token(std::move(token), GgufTokenType::unused);
      } else if (sentence_piece_ && i == tokenizer_->unk_id()) {
        add_token(std::move(token), GgufTokenType::unknown);
      } else if (tokenizer_->is_special(i)) {
        add_token(std::move(token), GgufTokenType::control);
      } else if (added_.contains(token)) {
        add_token(std::move(token), GgufTokenType::user_defined);
      } else if (sentence_piece_ && token.size() == 6 && token.starts_with("<0x") && token.ends_with('>')) {
        add_token(std::move(token), GgufTokenType::byte);
      } else {
        add_token(std::move(token), GgufTokenType::normal);
      }
    }
    add("tokens", std::move(tokens));
    add("token_type", std::move(types));
  }

  std::vector<std::string> joined_merges() const {
    std::vector<std::string> joined;
    for (const auto& [left, right] : merges_) {
      if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos)
        refuse(text("expected merges of pieces without a space, got \"", left, "\" and \"", right, '"'));
      joined.push_back(text(left, ' ', right));
    }
    return joined;
  }

  /// SentencePiece joins the neighbours whose joined piece scores highest: the earlier a piece is made, the higher.
  std::vector<float> scores() const {
    const auto lowest = -static_cast<float>(merges_.size());
    std::vector<float> scores(static_cast<std::size_t>(rows_), lowest);
    StringSet made;
    for (const auto& [left, right] : merges_) {
      std::string whole = left + right;
      const auto of = tokenizer_->id(whole);
      if (!made.insert(std::move(whole)).second || !of) continue;
      scores[static_cast<std::size_t>(*of)] = 1 - static_cast<float>(made.size());
    }
    return scores;
  }

  void end_ids(std::span<const Index> ends) {
    std::vector<Index> all;
    if (tokenizer_->eos_id()) all.push_back(*tokenizer_->eos_id());
    for (const Index end : ends) {
      if (std::ranges::find(all, end) == all.end()) all.push_back(end);
    }
    constexpr std::array keys = {"eos_token_id", "eot_token_id", "eom_token_id"};
    for (std::size_t i = 0; i < std::min(all.size(), keys.size()); ++i) id(keys[i], all[i]);
    for (std::size_t i = keys.size(); i < all.size(); ++i)
      notice(text("token ", all[i], " ends texts too; GGUF has keys for ", keys.size(), " such tokens"));
  }

  void chat_templates() {
    std::vector<std::string> names;
    for (const ChatTemplateSource& source : tokenizer_->chat_templates()) {
      const bool is_default = source.name == "default";
      if (!is_default) names.push_back(source.name);
      result_.metadata.emplace_back(
          is_default ? std::string("tokenizer.chat_template") : text("tokenizer.chat_template.", source.name),
          source.jinja);
    }
    if (!names.empty()) result_.metadata.emplace_back("tokenizer.chat_templates", std::move(names));
  }

  void notice(std::string line) { result_.notices.push_back(std::move(line)); }

  /// Ways in which GGUF's readers may cut texts, the likeliest first.
  struct Steps {
    std::string pre;
    bool space_prefix = false;
  };
  std::vector<Steps> candidates() const {
    if (sentence_piece_) {
      const std::vector<Index> ids = tokenizer_->encode("x");
      const bool prefix = !ids.empty() && tokenizer_->token(ids.front()).starts_with("\xE2\x96\x81");
      return {{"default", prefix}, {"default", !prefix}};
    }
    const std::string json = files_->has("tokenizer.json") ? files_->read("tokenizer.json") : std::string();
    const bool is_composed = json.find("\"NFC\"") != std::string::npos;
    const bool has_digits = json.find("\"Digits\"") != std::string::npos;
    const bool ignores_merges = parsed_flag(json, "ignore_merges");
    std::vector<Steps> all = {{"gpt-2"}, {"smollm"}, {"llama-bpe"}, {"qwen2"}};
    const char* const first = ignores_merges ? "llama-bpe" : is_composed ? "qwen2" : has_digits ? "smollm" : "gpt-2";
    std::ranges::stable_partition(all, [&](const Steps& steps) { return steps.pre == first; });
    return all;
  }
  static bool parsed_flag(const std::string& json, const char* name) {
    const auto at = json.find(text('"', name, '"'));
    return at != std::string::npos && json.substr(at, 32).find("true") != std::string::npos;
  }

  /// Chooses the pre-tokenizer, whose key stands at `pre`.
  void find_steps(std::size_t pre) {
    if (sentence_piece_) add("add_space_prefix", true);
    std::string_view differs;
    for (const Steps& steps : candidates()) {
      result_.metadata[pre].second = steps.pre;
      if (sentence_piece_) result_.metadata.back().second = steps.space_prefix;
      const auto read = load_tokenizer(
          ModelFiles(files_->path(), gguf_tokenizer_files(gguf_metadata_json(result_.metadata), source_)));
      const auto other = std::ranges::find_if(tokenizer_probes, [&](std::string_view probe) {
        return read->encode_sequence(probe) != tokenizer_->encode_sequence(probe);
      });
      if (other == tokenizer_probes.end()) return compare_added(*read);
      if (differs.empty()) differs = *other;
    }
    refuse(text("expected a tokenizer that GGUF's readers cut texts like (pre-tokenizers gpt-2, smollm, llama-bpe, ",
                "qwen2, or SentencePiece's), got one with other ids for \"", differs.substr(0, 40), "\""));
  }

  /// Added tokens stand in texts with words around them.
  void compare_added(const Tokenizer& read) {
    std::vector<std::string> flagged, differing;
    for (const auto& [token, has_flags] : added_) {
      if (!tokenizer_->id(token)) continue;
      if (has_flags) flagged.push_back(token);
      const std::string probe = text("a", token, "b ", token, " c");
      if (!has_flags && read.encode(probe) != tokenizer_->encode(probe)) differing.push_back(token);
    }
    const auto say = [&](std::vector<std::string>& found, std::string_view what) {
      if (found.empty()) return;
      std::ranges::sort(found);
      notice(text("added tokens such as ", found.front(), " (", found.size(), " in all) ", what));
    };
    say(flagged, "take in spaces beside them (lstrip, rstrip); GGUF cannot say so");
    say(differing, "change how the text beside them is cut; readers of GGUF files cut it otherwise");
  }

  const ModelFiles* files_;
  const Tokenizer* tokenizer_;
  Extent rows_;
  std::string source_;
  bool sentence_piece_ = false;
  Bpe::Merges merges_;
  StringMap<bool> added_;  // content, and whether it takes in spaces
  GgufTokenizerMetadata result_;
};

}  // namespace detail

GREENTRAINER_INLINE GgufTokenizerMetadata gguf_tokenizer_metadata(const ModelFiles& files, const Tokenizer& tokenizer,
                                                                  Extent rows, std::span<const Index> ends) {
  return detail::GgufTokenizerKeys(files, tokenizer, rows).metadata(ends);
}

}  // namespace greentrainer
