#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/tokenizers/bpe.hpp"
#include "greentrainer/tokenizers/pipeline_tokenizer.hpp"
#include "greentrainer/tokenizers/post_processor.hpp"
#include "greentrainer/tokenizers/sentencepiece_model.hpp"
#include "greentrainer/tokenizers/tokenizer_settings.hpp"
#include "greentrainer/tokenizers/unigram.hpp"

namespace greentrainer {

/// The model that a tokenizer.json describes. Throws LoadError for a type that is not supported.
inline std::unique_ptr<TokenModel> make_token_model(const Component& component) {
  // Files from before there was a choice of models name no type.
  std::string type = component.find("merges") != nullptr ? "BPE" : "Unigram";
  if (component.find("type") != nullptr) type = component.type();
  if (type == "BPE") return make_bpe(component);
  if (type == "Unigram") return make_unigram(component);
  component.fail_unknown_type("BPE, Unigram");
}

namespace detail {

/// For tokenizers that transformers can turn into a tokenizer.json.
inline std::string conversion_advice(const std::filesystem::path& folder) {
  return text("convert it with: python3 -c \"from transformers import AutoTokenizer as T; T.from_pretrained('",
              folder.string(), "').save_pretrained('", folder.string(), "')\"");
}

/// `ends`: null where the files have no post-processor.
inline std::shared_ptr<const Tokenizer> assemble_tokenizer(PipelineTokenizer::Parts parts,
                                                           const TokenizerSettings& settings,
                                                           const std::optional<SequenceEnds>& ends,
                                                           const std::string& source) {
  parts.added.insert(parts.added.end(), settings.added().begin(), settings.added().end());
  StringMap<Index> added;  // those beyond the vocabulary
  std::unordered_map<Index, std::string> added_tokens;
  for (const auto& token : parts.added) {
    if (!token.id.is_number_unsigned() || token.id.get<std::uint64_t>() > 0x7fffffffU) continue;
    added.emplace(token.content, token.id.get<Index>());
    added_tokens.emplace(token.id.get<Index>(), token.content);
  }
  const auto& vocabulary = parts.model->vocabulary();
  const auto id_of = [&](const std::string& token) -> std::optional<Index> {
    const auto found = added.find(token);
    return found != added.end() ? std::optional(found->second) : vocabulary.id(token);
  };
  const auto token_of = [&](Index id) {
    const auto found = added_tokens.find(id);
    return found != added_tokens.end() ? found->second : vocabulary.token(id);
  };
  for (const auto& token : settings.role_tokens()) {
    if (id_of(token.content)) parts.added.push_back(token);
  }
  for (const auto& end : {ends ? ends->bos : std::nullopt, ends ? ends->eos : std::nullopt}) {
    if (end && id_of(end->token) != end->id) {
      throw LoadError("load_tokenizer", text(source, ", post_processor: expected the id of \"", end->token,
                                             "\" in the vocabulary, got ", end->id));
    }
  }
  auto traits = settings.traits(id_of, token_of, ends);
  return std::make_shared<PipelineTokenizer>(std::move(parts), std::move(traits), source);
}

inline std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& folder,
                                                            const TokenizerSettings& settings) {
  const auto path = folder / "tokenizer.json";
  const Json json = read_json_file(path);
  const Component root(json, path.string());
  const auto part = [&](std::string_view key) -> std::optional<Component> {
    const Json* value = root.find(key);
    if (value == nullptr) return std::nullopt;
    return Component(*value, text(path.string(), ", ", key));
  };
  // "truncation" and "padding" are settings of transformers' calls, which every call overrides.
  PipelineTokenizer::Parts parts;
  if (const auto normalizer = part("normalizer")) parts.normalizer = make_normalizer(*normalizer);
  if (const auto pre_tokenizer = part("pre_tokenizer")) parts.pre_tokenizer = make_pre_tokenizer(*pre_tokenizer);
  if (const auto decoder = part("decoder")) parts.decoder = make_decoder(*decoder);
  parts.model = make_token_model(Component(root.at("model"), path.string() + ", model"));
  if (root.find("added_tokens") != nullptr) {
    for (const auto& token : root.list_of("added_tokens")) parts.added.push_back(parse_added_token(token));
  }
  std::optional<SequenceEnds> ends;
  if (const auto post_processor = part("post_processor")) ends = sequence_ends(*post_processor);
  return assemble_tokenizer(std::move(parts), settings, ends, path.string());
}

inline std::shared_ptr<const Tokenizer> load_vocab_and_merges(const std::filesystem::path& folder,
                                                              TokenizerSettings& settings) {
  const auto path = folder / "vocab.json";
  const auto merges_path = folder / "merges.txt";
  Vocabulary vocabulary(read_json_file(path), path.string());
  const auto merges = parse_merges(read_file(merges_path), merges_path.string());
  // The defaults of GPT2Tokenizer and of OPT's files, for folders that hold no more than these two.
  // OPT's vocabulary, in fairseq's order, holds GPT-2's <|endoftext|> as well, as an ordinary token.
  const bool opt = settings.model_type() != "gpt2" && vocabulary.id("</s>");
  const std::string_view end_of_text = opt ? "</s>" : "<|endoftext|>";
  if (vocabulary.id(end_of_text)) {
    for (const auto role : {TokenizerSettings::bos, TokenizerSettings::eos, TokenizerSettings::unk})
      settings.default_role(role, end_of_text);
  }
  if (opt && vocabulary.id("<pad>")) settings.default_role(TokenizerSettings::pad, "<pad>");
  PipelineTokenizer::Parts parts;
  parts.pre_tokenizer = std::make_unique<ByteLevelPreTokenizer>(settings.add_prefix_space());
  parts.model = std::make_unique<Bpe>(std::move(vocabulary), merges, Bpe::Options{}, merges_path.string());
  parts.decoder = std::make_unique<ByteLevelDecoder>();
  return assemble_tokenizer(std::move(parts), settings, std::nullopt, path.string());
}

/// T5's tokenizer out of its SentencePiece file, as transformers' T5Tokenizer makes it: white space parts words, `</s>`
/// ends a sequence, and the vocabulary goes on with <extra_id_99>, ..., <extra_id_0>.
inline std::shared_ptr<const Tokenizer> load_t5_sentencepiece(const std::filesystem::path& folder,
                                                              TokenizerSettings& settings) {
  const auto path = folder / "spiece.model";
  if (const auto& name = settings.tokenizer_class();
      !name.empty() && name != "T5Tokenizer" && name != "T5TokenizerFast") {
    throw LoadError("load_tokenizer", text(path.string(), ": expected T5Tokenizer as tokenizer_class beside it, got ",
                                           name, "; ", conversion_advice(folder)));
  }
  auto model = read_sentencepiece_model(path);
  PipelineTokenizer::Parts parts;
  if (!model.charsmap.empty()) {
    parts.normalizer = std::make_unique<PrecompiledNormalizer>(
        PrecompiledCharsmap(model.charsmap, path.string() + ", normalizer_spec, precompiled_charsmap"));
  }
  const std::string space = "\xE2\x96\x81";  // U+2581, SentencePiece's space
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(std::make_unique<WhitespacePreTokenizer>());
  steps.push_back(std::make_unique<MetaspacePreTokenizer>(space, MetaspacePreTokenizer::Prepend::always, true));
  parts.pre_tokenizer = std::make_unique<PreTokenizerSequence>(std::move(steps));
  parts.decoder = std::make_unique<MetaspaceDecoder>(space, true);
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
  settings.default_role(TokenizerSettings::eos, "</s>");
  settings.default_role(TokenizerSettings::pad, "<pad>");
  settings.default_role(TokenizerSettings::unk, "<unk>");
  parts.model =
      std::make_unique<Unigram>(model.pieces, Unigram::Options{model.unk_id, model.byte_fallback}, path.string());
  SequenceEnds ends;
  if (const auto id = parts.model->vocabulary().id("</s>")) ends.eos = {"</s>", *id};
  return assemble_tokenizer(std::move(parts), settings, ends, path.string());
}

}  // namespace detail

/// The tokenizer of a Hugging Face model folder: tokenizer.json, else T5's spiece.model (Unigram), else vocab.json with
/// merges.txt (byte-level BPE, as GPT-2 and OPT). Special tokens come from the files beside it (TokenizerSettings).
/// Throws LoadError naming the file, and what in it is not supported.
inline std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const auto has = [&](const char* file) {
    std::error_code error;
    return std::filesystem::exists(folder / file, error);
  };
  TokenizerSettings settings(folder);
  if (has("tokenizer.json")) return detail::load_tokenizer_json(folder, settings);
  if (has("spiece.model")) return detail::load_t5_sentencepiece(folder, settings);
  if (has("vocab.json")) return detail::load_vocab_and_merges(folder, settings);
  throw LoadError(
      "load_tokenizer",
      text(folder.string(), ": expected tokenizer.json, spiece.model, or vocab.json and merges.txt, got ",
           has("tokenizer.model") ? "tokenizer.model; " + detail::conversion_advice(folder) : "none of them"));
}

}  // namespace greentrainer
