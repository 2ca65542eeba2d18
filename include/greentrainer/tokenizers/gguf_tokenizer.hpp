#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/split_patterns.hpp"

namespace greentrainer {

namespace detail {

/// What GGUF says of a token.
enum class GgufTokenType : std::int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

/// A pre-tokenizer that `tokenizer.ggml.pre` names, as the published tokenizer.json of its models has it.
struct GgufPreTokenizer {
  std::string_view name;
  enum class Kind { byte_level, digits, llama3, qwen2 } kind = Kind::byte_level;
};
inline constexpr auto gguf_pre_tokenizers = std::to_array<GgufPreTokenizer>({
    {"gpt-2", GgufPreTokenizer::Kind::byte_level},
    {"phi-2", GgufPreTokenizer::Kind::byte_level},
    {"smollm", GgufPreTokenizer::Kind::digits},
    {"starcoder", GgufPreTokenizer::Kind::digits},
    {"refact", GgufPreTokenizer::Kind::digits},
    {"llama-bpe", GgufPreTokenizer::Kind::llama3},
    {"qwen2", GgufPreTokenizer::Kind::qwen2},
});

/// The tokenizer that a GGUF file's metadata describe, in the form of Hugging Face's files.
class GgufTokenizer {
 public:
  GgufTokenizer(const Json& metadata, const std::string& source)
      : keys_(metadata, source), model_(keys_.get<std::string>("tokenizer.ggml.model")) {
    tokens_ = keys_.get<std::vector<std::string>>("tokenizer.ggml.tokens");
    if (tokens_.empty()) refuse("tokenizer.ggml.tokens", "expected tokens, got none");
    types_ = keys_.has("tokenizer.ggml.token_type") ? keys_.get<std::vector<std::int32_t>>("tokenizer.ggml.token_type")
                                                    : std::vector<std::int32_t>(tokens_.size(), 1);
    if (types_.size() != tokens_.size()) {
      refuse("tokenizer.ggml.token_type",
             text("expected one for each of ", tokens_.size(), " tokens, got ", types_.size()));
    }
    const bool sentence_piece = model_ == "llama";
    bos_ = id("bos_token_id", sentence_piece ? std::optional<Index>(1) : std::nullopt);
    eos_ = id("eos_token_id", sentence_piece ? std::optional<Index>(2) : std::nullopt);
    unk_ = id("unknown_token_id", sentence_piece ? std::optional<Index>(0) : std::nullopt);
    pad_ = id("padding_token_id", std::nullopt);
    for (Index i = 0; i < static_cast<Index>(tokens_.size()); ++i) {
      const auto type = static_cast<GgufTokenType>(types_[static_cast<std::size_t>(i)]);
      const bool special = type == GgufTokenType::control || type == GgufTokenType::unknown;
      if (special || type == GgufTokenType::user_defined) added_.push_back(added_token(i, special));
    }
  }

  std::map<std::string, std::string, std::less<>> files() {
    Json tokenizer;
    if (model_ == "gpt2") {
      tokenizer = byte_level();
    } else if (model_ == "llama") {
      tokenizer = sentence_piece();
    } else {
      refuse("tokenizer.ggml.model", text("expected gpt2 or llama, got ", model_, ", which is not supported"));
    }
    const Json config = tokenizer_config(), generation = generation_config();
    expect_all_read();
    return {{"tokenizer.json", tokenizer.dump() + "\n"},
            {"tokenizer_config.json", config.dump(2) + "\n"},
            {"generation_config.json", generation.dump(2) + "\n"}};
  }

 private:
  [[noreturn]] void refuse(std::string_view key, const std::string& what) const {
    throw LoadError("gguf", text(keys_.source(), ", metadata ", key), what);
  }

  std::optional<Index> id(const std::string& role, std::optional<Index> fallback) const {
    const std::string key = "tokenizer.ggml." + role;
    if (!keys_.has(key)) return fallback && *fallback < static_cast<Index>(tokens_.size()) ? fallback : std::nullopt;
    const auto value = keys_.get<Extent>(key);
    if (value < 0 || value >= static_cast<Extent>(tokens_.size()))
      refuse(key, text("expected an id from 0 to ", tokens_.size() - 1, ", got ", value));
    return static_cast<Index>(value);
  }
  const std::string& token(Index i) const { return tokens_[static_cast<std::size_t>(i)]; }

  Json added_token(Index i, bool special) const {
    return {{"id", i},         {"content", token(i)}, {"single_word", false}, {"lstrip", false},
            {"rstrip", false}, {"normalized", false}, {"special", special}};
  }

  Json vocabulary() const {
    Json vocabulary = Json::object();
    for (Index i = 0; i < static_cast<Index>(tokens_.size()); ++i) {
      if (!vocabulary.emplace(token(i), i).second)
        refuse("tokenizer.ggml.tokens", text("expected tokens that differ, got \"", token(i), "\" twice"));
    }
    return vocabulary;
  }

  /// BOS is added where a flag says so; without one, where llama.cpp adds it.
  Json post_processor(bool adds_bos_without_flag) const {
    const bool adds_bos = keys_.get_or<bool>("tokenizer.ggml.add_bos_token", adds_bos_without_flag && bos_);
    const bool adds_eos = keys_.get_or<bool>("tokenizer.ggml.add_eos_token", false);
    Json single = Json::array(), specials = Json::object();
    const auto add = [&](std::optional<Index> end, const char* key) {
      if (!end) refuse(key, "expected a token to add, got none");
      single.push_back({{"SpecialToken", {{"id", token(*end)}, {"type_id", 0}}}});
      specials[token(*end)] = {{"id", token(*end)}, {"ids", {*end}}, {"tokens", {token(*end)}}};
    };
    if (adds_bos) add(bos_, "tokenizer.ggml.add_bos_token");
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (adds_eos) add(eos_, "tokenizer.ggml.add_eos_token");
    if (!adds_bos && !adds_eos) return nullptr;
    Json pair = single;
    for (Json part : single) {
      for (auto& [kind, what] : part.items()) {
        what["type_id"] = 1;
        if (kind == "Sequence") what["id"] = "B";
      }
      pair.push_back(std::move(part));
    }
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
  }

  Json tokenizer(Json normalizer, Json pre_tokenizer, Json post_processor, Json decoder, Json model) const {
    return {{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", added_},
            {"normalizer", std::move(normalizer)},
            {"pre_tokenizer", std::move(pre_tokenizer)},
            {"post_processor", std::move(post_processor)},
            {"decoder", std::move(decoder)},
            {"model", std::move(model)}};
  }
  Json bpe_model(Json merges) const {
    return {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocabulary()},
            {"merges", std::move(merges)}};
  }

  GgufPreTokenizer::Kind pre_tokenizer_kind() const {
    const std::string key = "tokenizer.ggml.pre";
    const auto name = keys_.get_or<std::string>(key, "");
    const auto found = std::ranges::find(gguf_pre_tokenizers, name, &GgufPreTokenizer::name);
    if (found != gguf_pre_tokenizers.end()) return found->kind;
    std::string known;
    for (const auto& entry : gguf_pre_tokenizers) known += (known.empty() ? "" : ", ") + std::string(entry.name);
    refuse(key, text("expected one of ", known, ", got ", name.empty() ? "nothing" : name,
                     "; another pre-tokenizer would give other ids without an error"));
  }

  /// Byte-level BPE; the pre-tokenizer's name says how words are cut.
  Json byte_level() const {
    using Kind = GgufPreTokenizer::Kind;
    const Kind kind = pre_tokenizer_kind();
    const bool own_split = kind == Kind::llama3 || kind == Kind::qwen2;
    const auto step = [](bool pattern, bool prefix) -> Json {
      return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", pattern}};
    };
    Json steps = Json::array();
    if (kind == Kind::digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    if (own_split) {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", kind == Kind::llama3 ? llama3_pattern : qwen2_pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
    steps.push_back(step(!own_split, false));
    Json model = bpe_model(keys_.get<std::vector<std::string>>("tokenizer.ggml.merges"));
    model["ignore_merges"] = kind == Kind::llama3;
    const Json normalizer = kind == Kind::qwen2 ? Json::object({{"type", "NFC"}}) : Json(nullptr);
    return tokenizer(normalizer, {{"type", "Sequence"}, {"pretokenizers", steps}}, post_processor(kind == Kind::llama3),
                     step(true, true), std::move(model));
  }

  /// SentencePiece's BPE as published tokenizer.json files have it. The merges are all ways to join two pieces to a
  /// third, by the third's score, as transformers converts such files: SentencePiece joins the neighbours whose joined
  /// piece scores highest.
  Json sentence_piece() const {
    const std::string space = "\xE2\x96\x81";  // U+2581
    const bool prefix = keys_.get_or<bool>("tokenizer.ggml.add_space_prefix", true);
    keys_.expect_value("tokenizer.ggml.remove_extra_whitespaces", false);
    Json model = bpe_model(merges_by_score());
    if (unk_) model["unk_token"] = token(*unk_);
    model["fuse_unk"] = model["byte_fallback"] = true;
    Json normalizers = Json::array();
    if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", space}});
    normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space}});
    Json decoders = {{{"type", "Replace"}, {"pattern", {{"String", space}}}, {"content", " "}},
                     {{"type", "ByteFallback"}},
                     {{"type", "Fuse"}}};
    if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    return tokenizer({{"type", "Sequence"}, {"normalizers", normalizers}}, nullptr, post_processor(true),
                     {{"type", "Sequence"}, {"decoders", decoders}}, std::move(model));
  }

  Json merges_by_score() const {
    const auto scores = keys_.get<std::vector<double>>("tokenizer.ggml.scores");
    if (scores.size() != tokens_.size()) {
      refuse("tokenizer.ggml.scores",
             text("expected one for each of ", tokens_.size(), " tokens, got ", scores.size()));
    }
    StringMap<Index> ids;
    for (Index i = 0; i < static_cast<Index>(tokens_.size()); ++i) ids.emplace(token(i), i);
    struct Merge {
      double score;
      Index whole, left, right;
    };
    std::vector<Merge> merges;
    for (Index whole = 0; whole < static_cast<Index>(tokens_.size()); ++whole) {
      const std::string_view piece = token(whole);
      if (piece.size() > max_piece)
        refuse("tokenizer.ggml.tokens", text("expected pieces of at most ", max_piece, " bytes, got ", piece.size()));
      for (std::size_t cut = 1; cut < piece.size(); ++cut) {
        const auto left = ids.find(piece.substr(0, cut)), right = ids.find(piece.substr(cut));
        if (left != ids.end() && right != ids.end())
          merges.push_back({scores[static_cast<std::size_t>(whole)], whole, left->second, right->second});
      }
    }
    std::ranges::sort(merges, [](const Merge& a, const Merge& b) {
      return std::tuple(-a.score, a.whole, a.left, a.right) < std::tuple(-b.score, b.whole, b.left, b.right);
    });
    Json list = Json::array();
    for (const Merge& merge : merges) list.push_back({token(merge.left), token(merge.right)});
    return list;
  }

  Json tokenizer_config() const {
    Json decoder = Json::object();
    for (const Json& added : added_) {
      Json entry = added;
      entry.erase("id");
      decoder[std::to_string(added["id"].get<Index>())] = std::move(entry);
    }
    // Not a class of its own, which would put its steps in the place of these.
    Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                   {"added_tokens_decoder", decoder},
                   {"clean_up_tokenization_spaces", false}};
    for (const auto& [name, id] : roles()) {
      if (id) config[name + "_token"] = token(*id);
    }
    Json templates = chat_templates();
    if (!templates.is_null()) config["chat_template"] = std::move(templates);
    return config;
  }

  std::vector<std::pair<std::string, std::optional<Index>>> roles() const {
    return {{"bos", bos_}, {"eos", eos_}, {"unk", unk_}, {"pad", pad_}};
  }

  /// One template, or several with names.
  Json chat_templates() const {
    const std::string key = "tokenizer.chat_template";
    std::optional<std::string> plain;
    if (keys_.has(key)) plain = keys_.get<std::string>(key);
    if (!keys_.has("tokenizer.chat_templates")) return plain ? Json(*plain) : Json(nullptr);
    Json list = Json::array();
    if (plain) list.push_back({{"name", "default"}, {"template", *plain}});
    for (const std::string& name : keys_.get<std::vector<std::string>>("tokenizer.chat_templates")) {
      const std::string of = text(key, '.', name);
      list.push_back({{"name", name}, {"template", keys_.get<std::string>(of)}});
    }
    return list;
  }

  /// A turn's end is an end of text as well, where it has a token of its own.
  Json generation_config() const {
    Json config = Json::object();
    if (bos_) config["bos_token_id"] = *bos_;
    if (pad_) config["pad_token_id"] = *pad_;
    std::vector<Index> ends;
    for (const std::optional<Index>& end : {eos_, id("eot_token_id", std::nullopt), id("eom_token_id", std::nullopt)}) {
      if (end && std::ranges::find(ends, *end) == ends.end()) ends.push_back(*end);
    }
    if (ends.size() == 1) config["eos_token_id"] = ends.front();
    if (ends.size() > 1) config["eos_token_id"] = ends;
    return config;
  }

  void expect_all_read() const {
    keys_.ignore({"tokenizer.ggml.scores", "tokenizer.ggml.merges", "tokenizer.ggml.pre",
                  "tokenizer.ggml.token_type_count", "tokenizer.ggml.add_space_prefix",
                  "tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.seperator_token_id",
                  "tokenizer.ggml.separator_token_id", "tokenizer.ggml.cls_token_id", "tokenizer.ggml.mask_token_id",
                  "tokenizer.ggml.add_sep_token"});
    for (const std::string& key : keys_.unread()) {
      if (!key.starts_with("tokenizer.") || key.starts_with("tokenizer.ggml.fim_")) continue;
      if (key == "tokenizer.ggml.prefix_token_id" || key == "tokenizer.ggml.suffix_token_id" ||
          key == "tokenizer.ggml.middle_token_id")
        continue;
      refuse(key, "expected a key whose meaning is known, got an unknown one; it may change ids, so it is not ignored");
    }
  }

  static constexpr std::size_t max_piece = 1024;

  ConfigReader keys_;
  std::string model_;
  std::vector<std::string> tokens_;
  std::vector<std::int32_t> types_;
  std::optional<Index> bos_, eos_, unk_, pad_;
  std::vector<Json> added_;
};

}  // namespace detail

/// tokenizer.json, tokenizer_config.json and generation_config.json as a GGUF file's metadata describe them; none where
/// it has no tokenizer. Throws LoadError or ConfigError naming file and key: what is damaged, and a model or a
/// pre-tokenizer that is not known.
inline std::map<std::string, std::string, std::less<>> gguf_tokenizer_files(const Json& metadata,
                                                                            const std::string& source) {
  if (!metadata.contains("tokenizer.ggml.model")) return {};
  return detail::GgufTokenizer(metadata, source).files();
}
inline std::map<std::string, std::string, std::less<>> gguf_tokenizer_files(const GgufFile& file) {
  return gguf_tokenizer_files(file.metadata(), file.path().string());
}

}  // namespace greentrainer
