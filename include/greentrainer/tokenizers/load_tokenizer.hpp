#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "greentrainer/tokenizers/bpe.hpp"
#include "greentrainer/tokenizers/pipeline_tokenizer.hpp"
#include "greentrainer/tokenizers/tokenizer_settings.hpp"

namespace greentrainer {

/// The model that a tokenizer.json describes. Throws LoadError for a type that is not supported.
inline std::unique_ptr<TokenModel> make_token_model(const Component& component) {
  // Files from before there was a choice of models name no type.
  const bool bpe = component.find("type") == nullptr ? component.find("merges") != nullptr : component.type() == "BPE";
  if (bpe) return make_bpe(component);
  component.fail_unknown_type("BPE");
}

namespace detail {

/// What a post-processor puts in front of a sequence. Nothing else of it matters here: data forms join sequences by themselves.
struct PostProcessorBos {
  std::optional<bool> adds;
  std::optional<Index> id;
};

inline PostProcessorBos post_processor_bos(const Component& component) {
  const auto type = component.type();
  const auto id_from = [&](const Json& json) -> std::optional<Index> {
    if (json.is_number_unsigned() && json.get<std::uint64_t>() <= 0x7fffffffU) return static_cast<Index>(json.get<std::uint64_t>());
    component.fail("expected the id of a special token, got something else");
  };
  if (type == "ByteLevel") return {false, std::nullopt};
  if (type == "TemplateProcessing") {
    const auto single = component.list_of("single");
    const Json* token = single.empty() ? nullptr : single.front().find("SpecialToken");
    if (token == nullptr) return {false, std::nullopt};
    const auto name = Component(*token, single.front().source() + ".SpecialToken").text_of("id");
    const Component specials(component.at("special_tokens"), component.source() + ".special_tokens");
    const Component special(specials.at(name), text(specials.source(), '.', name));
    const Json& ids = special.at("ids");
    if (!ids.is_array() || ids.size() != 1) special.fail("expected one id in \"ids\", got another number");
    return {true, id_from(ids[0])};
  }
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    const Json& cls = component.at("cls");
    if (!cls.is_array() || cls.size() != 2) component.fail("expected [token, id] as \"cls\", got something else");
    return {true, id_from(cls[1])};
  }
  if (type == "Sequence") {
    PostProcessorBos result;
    for (const auto& part : component.list_of("processors")) {
      const auto bos = post_processor_bos(part);
      if (!result.adds.value_or(false)) result = bos;
    }
    return result;
  }
  component.fail_unknown_type("TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing, Sequence");
}

inline std::shared_ptr<const Tokenizer> assemble_tokenizer(PipelineTokenizer::Parts parts, const TokenizerSettings& settings, const PostProcessorBos& bos,
                                                           const std::string& source) {
  StringMap<Index> added;  // ids of tokens beyond the vocabulary
  parts.added.insert(parts.added.end(), settings.added().begin(), settings.added().end());
  for (const auto& token : parts.added) {
    if (token.id.is_number_unsigned() && token.id.get<std::uint64_t>() <= 0x7fffffffU) added.emplace(token.content, static_cast<Index>(token.id.get<std::uint64_t>()));
  }
  const auto& vocabulary = parts.model->vocabulary();
  const auto id_of = [&](const std::string& token) -> std::optional<Index> {
    const auto found = added.find(token);
    return found != added.end() ? std::optional(found->second) : vocabulary.id(token);
  };
  for (const auto& token : settings.role_tokens()) {
    if (id_of(token.content)) parts.added.push_back(token);
  }
  auto traits = settings.traits(id_of, bos.adds, bos.id);
  return std::make_shared<PipelineTokenizer>(std::move(parts), std::move(traits), source);
}

inline std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& folder, const TokenizerSettings& settings) {
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
  PostProcessorBos bos;
  if (const auto post_processor = part("post_processor")) bos = post_processor_bos(*post_processor);
  return assemble_tokenizer(std::move(parts), settings, bos, path.string());
}

inline std::shared_ptr<const Tokenizer> load_vocab_and_merges(const std::filesystem::path& folder, TokenizerSettings& settings) {
  const auto path = folder / "vocab.json";
  const auto merges_path = folder / "merges.txt";
  Vocabulary vocabulary(read_json_file(path), path.string());
  const auto merges = parse_merges(read_file(merges_path), merges_path.string());
  // The defaults of GPT2Tokenizer and of OPT's files, for folders that hold no more than these two.
  // OPT's vocabulary, in fairseq's order, holds GPT-2's <|endoftext|> as well, as an ordinary token.
  if (settings.model_type() != "gpt2" && vocabulary.id("</s>")) {
    settings.default_roles("</s>", vocabulary.id("<pad>") ? "<pad>" : "");
  } else if (vocabulary.id("<|endoftext|>")) {
    settings.default_roles("<|endoftext|>", "");
  }
  PipelineTokenizer::Parts parts;
  parts.pre_tokenizer = std::make_unique<ByteLevelPreTokenizer>(settings.add_prefix_space());
  parts.model = std::make_unique<Bpe>(std::move(vocabulary), merges, Bpe::Options{}, merges_path.string());
  parts.decoder = std::make_unique<ByteLevelDecoder>();
  return assemble_tokenizer(std::move(parts), settings, {}, path.string());
}

}  // namespace detail

/// The tokenizer of a Hugging Face model folder: tokenizer.json, else vocab.json with merges.txt (byte-level BPE, as GPT-2 and OPT).
/// Special tokens come from the files beside it (TokenizerSettings). Throws LoadError naming the file, and what in it is not supported.
inline std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  std::error_code error;
  TokenizerSettings settings(folder);
  if (std::filesystem::exists(folder / "tokenizer.json", error)) return detail::load_tokenizer_json(folder, settings);
  if (std::filesystem::exists(folder / "vocab.json", error)) return detail::load_vocab_and_merges(folder, settings);
  std::string found = "neither";
  for (const char* other : {"tokenizer.model", "spiece.model"}) {
    if (std::filesystem::exists(folder / other, error)) found = text(other, "; convert it with: python3 -c \"from transformers import AutoTokenizer as T; T.from_pretrained('",
                                                                     folder.string(), "').save_pretrained('", folder.string(), "')\"");
  }
  throw LoadError("load_tokenizer", text(folder.string(), ": expected tokenizer.json, or vocab.json and merges.txt, got ", found));
}

}  // namespace greentrainer
