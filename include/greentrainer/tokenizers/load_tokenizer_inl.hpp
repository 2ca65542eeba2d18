#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/tokenizers/assemble_tokenizer.hpp"
#include "greentrainer/tokenizers/bpe.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "greentrainer/tokenizers/pipeline_tokenizer.hpp"
#include "greentrainer/tokenizers/post_processor.hpp"
#include "greentrainer/tokenizers/ranked_tokenizer.hpp"
#include "greentrainer/tokenizers/sentencepiece_model.hpp"
#include "greentrainer/tokenizers/split_patterns.hpp"
#include "greentrainer/tokenizers/tokenizer_settings.hpp"
#include "greentrainer/tokenizers/unigram.hpp"
#include "greentrainer/tokenizers/word_level.hpp"
#include "greentrainer/tokenizers/word_piece.hpp"

namespace greentrainer {

/// The model that a tokenizer.json describes. `bpe`, `unigram`: options that a class gives in place of the file's.
/// Throws LoadError for a type that is not supported.
inline std::unique_ptr<TokenModel> make_token_model(const Component& component,
                                                    const std::optional<Bpe::Options>& bpe = std::nullopt,
                                                    const std::optional<Unigram::Options>& unigram = std::nullopt) {
  // Files from before there was a choice of models name no type.
  std::string type = component.find("merges") != nullptr ? "BPE" : "Unigram";
  if (component.find("type") != nullptr) type = component.type();
  if (type == "BPE" && !unigram) return make_bpe(component, bpe);
  if (type == "Unigram" && !bpe) return make_unigram(component, unigram);
  if (type == "WordPiece" && !bpe && !unigram) return make_word_piece(component);
  if (type == "WordLevel" && !bpe && !unigram) return make_word_level(component);
  component.fail_unknown_type(bpe ? "BPE" : unigram ? "Unigram" : "BPE, Unigram, WordPiece, WordLevel");
}

namespace detail {

/// For tokenizers that transformers can turn into a tokenizer.json.
inline std::string conversion_advice(const std::filesystem::path& folder) {
  return text("convert it with: python3 -c \"from transformers import AutoTokenizer as T; T.from_pretrained('",
              folder.string(), "').save_pretrained('", folder.string(), "')\"");
}

/// Throws LoadError for a tokenizer.json of more steps than any real one: each is gone through for every text.
inline void check_steps(const Component& root) {
  constexpr std::size_t most = 256;
  std::size_t steps = 0;
  const auto count = [&](const auto& self, const Json& json) -> void {
    if (json.is_object() && json.contains("type") && ++steps > most)
      root.fail(text("expected at most ", most, " steps of normalizer, pre_tokenizer and decoder, got more"));
    if (json.is_structured()) {
      for (const Json& inner : json) self(self, inner);
    }
  };
  for (const char* part : {"normalizer", "pre_tokenizer", "decoder"}) {
    if (const Json* json = root.find(part)) count(count, *json);
  }
}

/// The character that stands for a space in SentencePiece's pieces.
inline constexpr std::string_view sentencepiece_space = "\xE2\x96\x81";  // U+2581

/// The steps of LlamaTokenizer, whatever tokenizer.json says.
inline void set_llama_steps(PipelineTokenizer::Parts& parts, const TokenizerSettings& settings) {
  using Prepend = MetaspacePreTokenizer::Prepend;
  const std::string space(sentencepiece_space);
  const bool prepends = settings.add_prefix_space().value_or(true);
  const auto scheme = !prepends ? Prepend::never : settings.legacy() ? Prepend::always : Prepend::first;
  parts.pre_tokenizer = std::make_unique<MetaspacePreTokenizer>(space, scheme, false);
  std::vector<std::unique_ptr<Decoder>> steps;
  steps.push_back(std::make_unique<ReplaceDecoder>(TextPattern::literal(space), " "));
  steps.push_back(std::make_unique<ByteFallbackDecoder>());
  steps.push_back(std::make_unique<FuseDecoder>());
  if (prepends) steps.push_back(std::make_unique<StripDecoder>(" ", 1, 0));
  parts.decoder = std::make_unique<DecoderSequence>(std::move(steps));
}

/// The steps of T5Tokenizer: white space parts words.
inline void set_t5_steps(PipelineTokenizer::Parts& parts) {
  const std::string space(sentencepiece_space);
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(std::make_unique<WhitespacePreTokenizer>());
  steps.push_back(std::make_unique<MetaspacePreTokenizer>(space, MetaspacePreTokenizer::Prepend::always, true));
  parts.pre_tokenizer = std::make_unique<PreTokenizerSequence>(std::move(steps));
  parts.decoder = std::make_unique<MetaspaceDecoder>(space, true);
}

/// The steps of GPT2Tokenizer.
inline void set_gpt2_steps(PipelineTokenizer::Parts& parts, const TokenizerSettings& settings) {
  parts.pre_tokenizer = std::make_unique<ByteLevelPreTokenizer>(settings.add_prefix_space().value_or(false));
  parts.decoder = std::make_unique<ByteLevelDecoder>();
}

/// The steps of classes that cut a composed text by a pattern and name its bytes.
inline void set_byte_level_steps(PipelineTokenizer::Parts& parts, const TokenizerSettings& settings,
                                 std::optional<Regex> pattern, bool single_digits = false) {
  parts.normalizer = std::make_unique<NormalFormNormalizer>(NormalForm::nfc);
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  const auto split = [&](Regex regex) {
    steps.push_back(std::make_unique<SplitPreTokenizer>(TextPattern(std::move(regex)), SplitBehavior::isolated));
  };
  if (single_digits) split(Regex(R"(\p{N})", "digits"));
  const bool own = pattern.has_value();
  if (own) split(std::move(*pattern));
  steps.push_back(std::make_unique<ByteLevelPreTokenizer>(settings.add_prefix_space().value_or(false), !own));
  parts.pre_tokenizer = std::make_unique<PreTokenizerSequence>(std::move(steps));
  parts.decoder = std::make_unique<ByteLevelDecoder>();
}

/// The steps of GemmaTokenizer: `▁` for every space, and a word keeps the one behind it.
inline void set_gemma_steps(PipelineTokenizer::Parts& parts) {
  const std::string space(sentencepiece_space);
  parts.normalizer = std::make_unique<ReplaceNormalizer>(TextPattern::literal(" "), space);
  parts.pre_tokenizer =
      std::make_unique<SplitPreTokenizer>(TextPattern::literal(" "), SplitBehavior::merged_with_previous);
  std::vector<std::unique_ptr<Decoder>> steps;
  steps.push_back(std::make_unique<ReplaceDecoder>(TextPattern::literal(space), " "));
  steps.push_back(std::make_unique<ByteFallbackDecoder>());
  steps.push_back(std::make_unique<FuseDecoder>());
  parts.decoder = std::make_unique<DecoderSequence>(std::move(steps));
}

/// `</s>` ends a sequence of T5's.
inline SequenceEnds t5_ends(const Vocabulary& vocabulary) {
  SequenceEnds ends;
  if (const auto id = vocabulary.id("</s>")) ends.eos = {"</s>", *id};
  return ends;
}

/// The special tokens that a class has where no file names others, if the vocabulary has them.
inline void set_default_roles(TokenizerSettings& settings, TokenizerClass name, const Vocabulary& vocabulary) {
  const auto set = [&](SpecialTokens::Role role, std::string_view token) {
    if (vocabulary.id(token)) settings.special().default_role(role, token);
  };
  if (name == TokenizerClass::gpt2) {
    for (const auto role : {SpecialTokens::bos, SpecialTokens::eos, SpecialTokens::unk}) set(role, "<|endoftext|>");
  } else if (name == TokenizerClass::llama) {
    set(SpecialTokens::bos, "<s>");
    set(SpecialTokens::eos, "</s>");
    set(SpecialTokens::unk, "<unk>");
  } else if (name == TokenizerClass::qwen2 || name == TokenizerClass::qwen3_5) {
    for (const auto role : {SpecialTokens::eos, SpecialTokens::pad, SpecialTokens::unk}) set(role, "<|endoftext|>");
  } else if (name == TokenizerClass::gpt_neox) {
    for (const auto role : {SpecialTokens::bos, SpecialTokens::eos, SpecialTokens::unk}) set(role, "<|endoftext|>");
    set(SpecialTokens::pad, "<|padding|>");
  } else if (name == TokenizerClass::gemma) {
    set(SpecialTokens::bos, "<bos>");
    set(SpecialTokens::eos, "<eos>");
    set(SpecialTokens::unk, "<unk>");
    set(SpecialTokens::pad, "<pad>");
    set(SpecialTokens::mask, "<mask>");
  } else if (name == TokenizerClass::cohere) {
    set(SpecialTokens::bos, "<BOS_TOKEN>");
    set(SpecialTokens::eos, "<|END_OF_TURN_TOKEN|>");
    set(SpecialTokens::unk, "<UNK>");
    set(SpecialTokens::pad, "<PAD>");
    set(SpecialTokens::cls, "<CLS>");
    set(SpecialTokens::sep, "<SEP>");
    set(SpecialTokens::mask, "<MASK_TOKEN>");
  } else if (name == TokenizerClass::t5) {
    set(SpecialTokens::eos, "</s>");
    set(SpecialTokens::pad, "<pad>");
    set(SpecialTokens::unk, "<unk>");
    std::vector<std::string> extra;
    for (std::size_t i = 0; i < settings.extra_ids().value_or(100); ++i) extra.push_back(text("<extra_id_", i, '>'));
    settings.special().default_extra(std::move(extra));
  }
}

/// The first Precompiled step of a normalizer, or null.
inline const Json* precompiled_of(const Json& normalizer) {
  if (!normalizer.is_object()) return nullptr;
  const auto type = normalizer.value("type", Json());
  if (type == "Precompiled") return &normalizer;
  if (type != "Sequence" || !normalizer.contains("normalizers") || !normalizer["normalizers"].is_array())
    return nullptr;
  for (const Json& step : normalizer["normalizers"]) {
    if (step.is_object() && step.value("type", Json()) == "Precompiled") return &step;
  }
  return nullptr;
}

inline std::shared_ptr<const Tokenizer> load_tokenizer_json(const ModelFiles& files, TokenizerSettings& settings) {
  const std::string path = files.source("tokenizer.json");
  const std::string bytes = files.read("tokenizer.json");
  const Json json = parse_json(bytes, path);
  const Component root(json, path);
  const auto part = [&](std::string_view key) -> std::optional<Component> {
    const Json* value = root.find(key);
    if (value == nullptr) return std::nullopt;
    return Component(*value, text(path, ", ", key));
  };
  const auto name = settings.tokenizer_class(bytes.find("\"ByteLevel\"") != std::string::npos);
  const Component model(root.at("model"), path + ", model");
  // "truncation" and "padding" are settings of transformers' calls, which every call overrides.
  PipelineTokenizer::Parts parts;
  std::optional<SequenceEnds> ends = SequenceEnds{};
  if (root.find("added_tokens") != nullptr) {
    for (const auto& token : root.list_of("added_tokens")) parts.added.push_back(parse_added_token(token));
  }
  if (const auto post_processor = part("post_processor")) ends = sequence_ends(*post_processor);
  switch (name) {
    case TokenizerClass::tokenizers_backend:
      check_steps(root);
      if (const auto normalizer = part("normalizer")) parts.normalizer = make_normalizer(*normalizer);
      if (const auto pre_tokenizer = part("pre_tokenizer")) parts.pre_tokenizer = make_pre_tokenizer(*pre_tokenizer);
      if (const auto decoder = part("decoder")) parts.decoder = make_decoder(*decoder);
      parts.model = make_token_model(model);
      break;
    case TokenizerClass::gpt2:
      parts.model = make_token_model(model, Bpe::Options{});
      set_gpt2_steps(parts, settings);
      break;
    case TokenizerClass::llama:
      parts.model =
          make_token_model(model, Bpe::Options{.unk_token = std::nullopt, .fuse_unk = true, .byte_fallback = true});
      set_llama_steps(parts, settings);
      break;
    case TokenizerClass::qwen2:
    case TokenizerClass::qwen3_5:
    case TokenizerClass::gpt_neox:
    case TokenizerClass::cohere: {
      parts.model = make_token_model(model, Bpe::Options{});
      std::optional<Regex> pattern;
      if (name == TokenizerClass::qwen2) pattern.emplace(qwen2_pattern, "Qwen2Tokenizer");
      if (name == TokenizerClass::qwen3_5) pattern.emplace(qwen3_5_pattern, "Qwen3_5Tokenizer");
      set_byte_level_steps(parts, settings, std::move(pattern), name == TokenizerClass::cohere);
      if (name == TokenizerClass::gpt_neox) ends = SequenceEnds{};
      break;
    }
    case TokenizerClass::gemma:
      parts.model = make_token_model(
          model, Bpe::Options{.unk_token = settings.special().content(SpecialTokens::unk).value_or("<unk>"),
                              .fuse_unk = true,
                              .byte_fallback = true});
      set_gemma_steps(parts);
      break;
    case TokenizerClass::t5:
      parts.model = make_token_model(model, std::nullopt, Unigram::Options{.unk_id = 2});
      if (const Json* normalizer = root.find("normalizer")) {
        if (const Json* precompiled = precompiled_of(*normalizer))
          parts.normalizer = make_normalizer(Component(*precompiled, path + ", normalizer"));
      }
      set_t5_steps(parts);
      break;
  }
  set_default_roles(settings, name, parts.model->vocabulary());
  if (name == TokenizerClass::t5) ends = t5_ends(parts.model->vocabulary());
  return assemble_tokenizer(std::move(parts), settings, name != TokenizerClass::tokenizers_backend, ends, path);
}

inline std::shared_ptr<const Tokenizer> load_vocab_and_merges(const std::filesystem::path& folder,
                                                              TokenizerSettings& settings) {
  const auto path = folder / "vocab.json";
  const auto merges_path = folder / "merges.txt";
  if (const auto name = settings.tokenizer_class(false); name == TokenizerClass::llama || name == TokenizerClass::t5) {
    throw LoadError("load_tokenizer", path.string(),
                    text("expected GPT2Tokenizer as tokenizer_class beside it, got \"", settings.class_name(), '"'));
  }
  Vocabulary vocabulary(read_json_file(path), path.string());
  const auto merges = parse_merges(read_file(merges_path), merges_path.string());
  // OPT's vocabulary, in fairseq's order, holds GPT-2's <|endoftext|> as well, as an ordinary token: folders that hold
  // no more than these two files, which transformers does not load.
  if (settings.model_type().empty() && settings.class_name().empty() && vocabulary.id("</s>")) {
    for (const auto role : {SpecialTokens::bos, SpecialTokens::eos, SpecialTokens::unk})
      settings.special().default_role(role, "</s>");
    if (vocabulary.id("<pad>")) settings.special().default_role(SpecialTokens::pad, "<pad>");
  }
  set_default_roles(settings, TokenizerClass::gpt2, vocabulary);
  PipelineTokenizer::Parts parts;
  parts.model = std::make_unique<Bpe>(std::move(vocabulary), merges, Bpe::Options{}, merges_path.string());
  set_gpt2_steps(parts, settings);
  return assemble_tokenizer(std::move(parts), settings, true, std::nullopt, path.string());
}

/// T5's tokenizer out of its SentencePiece file, as transformers' T5Tokenizer makes it: white space parts words, `</s>`
/// ends a sequence, and the vocabulary goes on with <extra_id_99>, ..., <extra_id_0>.
inline std::shared_ptr<const Tokenizer> load_t5_sentencepiece(const std::filesystem::path& folder,
                                                              TokenizerSettings& settings) {
  const auto path = folder / "spiece.model";
  if (const auto name = settings.tokenizer_class(false);
      name != TokenizerClass::t5 && !(settings.class_name().empty() && name == TokenizerClass::tokenizers_backend)) {
    throw LoadError("load_tokenizer", path.string(),
                    text("expected T5Tokenizer as tokenizer_class beside it, got \"", settings.class_name(), "\"; ",
                         conversion_advice(folder)));
  }
  auto model = read_sentencepiece_model(path);
  PipelineTokenizer::Parts parts;
  if (!model.charsmap.empty()) {
    parts.normalizer = std::make_unique<PrecompiledNormalizer>(
        PrecompiledCharsmap(model.charsmap, path.string() + ", normalizer_spec, precompiled_charsmap"));
  }
  set_t5_steps(parts);
  for (auto& token : model.added)
    parts.added.push_back({.content = std::move(token.content), .id = nullptr, .special = token.special});

  const auto has_piece = [&](std::string_view content) {
    return std::any_of(model.pieces.begin(), model.pieces.end(),
                       [&](const Unigram::Piece& piece) { return piece.text == content; });
  };
  for (std::size_t i = has_piece("<extra_id_0>") ? 0 : settings.extra_ids().value_or(100); i-- > 0;) {
    model.pieces.push_back({text("<extra_id_", i, '>'), 0.0});
    parts.added.push_back({.content = model.pieces.back().text, .id = nullptr, .special = true});
  }
  parts.model =
      std::make_unique<Unigram>(model.pieces, Unigram::Options{model.unk_id, model.byte_fallback}, path.string());
  set_default_roles(settings, TokenizerClass::t5, parts.model->vocabulary());
  const auto ends = t5_ends(parts.model->vocabulary());
  return assemble_tokenizer(std::move(parts), settings, false, ends, path.string());
}

}  // namespace detail

GREENTRAINER_INLINE std::shared_ptr<const Tokenizer> load_tokenizer(const ModelFiles& files) {
  TokenizerSettings settings(files);
  if (files.has("tokenizer.json")) return detail::load_tokenizer_json(files, settings);
  if (files.has("spiece.model")) return detail::load_t5_sentencepiece(files.path(), settings);
  if (files.has("vocab.json")) return detail::load_vocab_and_merges(files.path(), settings);
  if (files.has("tekken.json")) return detail::load_tekken(files, settings);
  if (const auto name = detail::tiktoken_file(files)) return detail::load_tiktoken(files, *name, settings);
  std::string got = "none of them";
  if (files.has("tokenizer.model"))
    got = "a tokenizer.model of SentencePiece's; " + detail::conversion_advice(files.path());
  if (files.has("qwen.tiktoken"))
    got = "qwen.tiktoken, whose special tokens are in code beside it; use a folder with tokenizer.json";
  throw LoadError("load_tokenizer", files.path().string(),
                  text("expected tokenizer.json, spiece.model, vocab.json and merges.txt, tekken.json, or a "
                       "tokenizer.model or tiktoken.model of tiktoken's, got ",
                       got));
}

GREENTRAINER_INLINE bool has_tokenizer(const ModelFiles& files) {
  for (const char* name : {"tokenizer.json", "spiece.model", "vocab.json", "tekken.json"}) {
    if (files.has(name)) return true;
  }
  return detail::tiktoken_file(files).has_value();
}

}  // namespace greentrainer
