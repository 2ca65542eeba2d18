#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/base64.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/model_files.hpp"
#include "greentrainer/tokenizers/assemble_tokenizer.hpp"
#include "greentrainer/tokenizers/bpe.hpp"
#include "greentrainer/tokenizers/byte_level.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/split_patterns.hpp"

// Byte-level BPE whose file lists tokens by rank and no merges: Mistral's tekken.json, and tiktoken's lines.

namespace greentrainer::detail {

/// The special tokens of a tekken.json that lists none, by id.
inline constexpr auto tekken_special_tokens = std::to_array<std::string_view>({"<unk>",
                                                                               "<s>",
                                                                               "</s>",
                                                                               "[INST]",
                                                                               "[/INST]",
                                                                               "[AVAILABLE_TOOLS]",
                                                                               "[/AVAILABLE_TOOLS]",
                                                                               "[TOOL_RESULTS]",
                                                                               "[/TOOL_RESULTS]",
                                                                               "[TOOL_CALLS]",
                                                                               "[IMG]",
                                                                               "<pad>",
                                                                               "[IMG_BREAK]",
                                                                               "[IMG_END]",
                                                                               "[PREFIX]",
                                                                               "[MIDDLE]",
                                                                               "[SUFFIX]",
                                                                               "[SYSTEM_PROMPT]",
                                                                               "[/SYSTEM_PROMPT]",
                                                                               "[TOOL_CONTENT]"});

/// Adds the next token by rank, given in base64. Throws LoadError naming `source`, the place in the file.
inline void add_ranked_token(Vocabulary& vocabulary, std::string_view base64, Index id, const std::string& source) {
  constexpr std::size_t most_bytes = 1024;
  const auto bytes = decode_base64(base64);
  if (!bytes || bytes->empty() || bytes->size() > most_bytes) {
    throw LoadError("load_tokenizer", source,
                    text("expected a token of 1 to ", most_bytes, " bytes in base64, got ",
                         Json(base64.substr(0, 40)).dump(-1, ' ', true, Json::error_handler_t::replace)));
  }
  vocabulary.add(ByteLevelAlphabet::instance().encode(*bytes), static_cast<std::uint64_t>(id), source);
}

/// Throws LoadError naming `source` unless every byte by itself is a token: any text can be spelt then.
inline void expect_all_bytes(const Vocabulary& vocabulary, const std::string& source) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (vocabulary.id(ByteLevelAlphabet::instance().name(static_cast<char>(byte)))) continue;
    throw LoadError("load_tokenizer", source, text("expected a token for each of 256 bytes, got none for byte ", byte));
  }
}

/// The steps of such tokenizers: a text is cut by the pattern, and ranks from `first_id` on decide what merges.
inline PipelineTokenizer::Parts ranked_parts(Vocabulary vocabulary, Index first_id, Regex pattern,
                                             const std::string& source) {
  PipelineTokenizer::Parts parts;
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(std::make_unique<SplitPreTokenizer>(TextPattern(std::move(pattern)), SplitBehavior::isolated));
  steps.push_back(std::make_unique<ByteLevelPreTokenizer>(false, false));
  parts.pre_tokenizer = std::make_unique<PreTokenizerSequence>(std::move(steps));
  const Bpe::Options options{.unk_token = std::nullopt, .ignore_merges = true, .first_ranked_id = first_id};
  parts.model = std::make_unique<Bpe>(std::move(vocabulary), Bpe::Merges{}, options, source);
  parts.decoder = std::make_unique<ByteLevelDecoder>();
  return parts;
}

/// The special tokens of a tekken.json by id, `<SPECIAL_20>`, ... for those without a name.
inline std::vector<std::string> special_tokens_of_tekken(const Component& root, std::size_t count) {
  std::vector<std::string> tokens;
  if (root.find("special_tokens") == nullptr) {
    const Component config(root.at("config"), root.source() + ", config");
    constexpr std::array known = {"v1", "v2", "v3", "v7"};
    if (const auto version = config.text_of("version"); std::ranges::find(known, version) == known.end())
      root.fail(text("expected special_tokens, which files of version v1 to v7 alone may leave out, got none in ",
                     Json(version).dump(-1, ' ', true).substr(0, 40)));
    tokens.assign(tekken_special_tokens.begin(), tekken_special_tokens.end());
  } else {
    for (const Component& token : root.list_of("special_tokens")) {
      token.allow({"rank", "token_str", "is_control"});
      if (token.count_of("rank") != tokens.size())
        token.fail(text("expected rank ", tokens.size(), ", got ", token.count_of("rank")));
      tokens.push_back(token.text_of("token_str"));
      if (tokens.back().empty() || tokens.back().size() > max_added_token_bytes)
        token.fail(text("expected a token of 1 to ", max_added_token_bytes, " bytes, got ", tokens.back().size()));
    }
  }
  if (tokens.size() > count)
    root.fail(text("expected at most ", count, " special tokens, as its config says, got ", tokens.size()));
  while (tokens.size() < count) tokens.push_back(text("<SPECIAL_", tokens.size(), '>'));
  return tokens;
}

/// Mistral's tekken.json as mistral-common reads it: special tokens have the first ids, and of the vocabulary as many
/// tokens count as default_vocab_size leaves room for; `<s>` begins a sequence.
inline std::shared_ptr<const Tokenizer> load_tekken(const ModelFiles& files, TokenizerSettings& settings) {
  const std::string source = files.source("tekken.json");
  const Json json = parse_json(files.read("tekken.json", Bytes{64} << 20), source);
  const Component root(json, source);
  root.allow(
      {"config", "vocab", "special_tokens", "version", "multimodal", "image", "audio", "model_settings_builder"});
  const Component config(root.at("config"), source + ", config");
  config.allow({"pattern", "num_vocab_tokens", "default_vocab_size", "default_num_special_tokens", "version"});
  const Json& list = root.at("vocab");
  if (!list.is_array()) root.fail(text("expected a list as \"vocab\", got ", list.type_name()));
  constexpr std::size_t most_special = 65536;
  const std::size_t special = config.count_of("default_num_special_tokens");
  const std::size_t size = config.count_of("default_vocab_size");
  if (special > most_special)
    config.fail(text("expected a default_num_special_tokens of at most ", most_special, ", got ", special));
  if (size < special || size - special > list.size())
    config.fail(text("expected a default_vocab_size from ", special, " to ", special + list.size(), ", got ", size));

  Vocabulary vocabulary;
  std::vector<AddedToken> added;
  for (std::string& token : special_tokens_of_tekken(root, special)) {
    vocabulary.add(token, std::uint64_t{added.size()}, source + ", special_tokens");
    added.push_back({.content = std::move(token), .id = std::uint64_t{added.size()}, .special = true});
  }
  for (std::size_t rank = 0; rank < size - special; ++rank) {
    const Component token(list[rank], text(source, ", vocab[", rank, ']'));
    token.allow({"rank", "token_bytes", "token_str"});
    if (token.count_of("rank") != rank) token.fail(text("expected rank ", rank, ", got ", token.count_of("rank")));
    add_ranked_token(vocabulary, token.text_of("token_bytes"), static_cast<Index>(special + rank), token.source());
  }
  expect_all_bytes(vocabulary, source + ", vocab");
  SequenceEnds ends;
  if (const auto bos = vocabulary.id("<s>")) ends.bos = {"<s>", *bos};
  for (const auto& [role, token] : {std::pair(SpecialTokens::bos, "<s>"), std::pair(SpecialTokens::eos, "</s>"),
                                    std::pair(SpecialTokens::pad, "<pad>"), std::pair(SpecialTokens::unk, "<unk>")}) {
    if (vocabulary.id(token)) settings.special().default_role(role, token);
  }
  auto parts = ranked_parts(std::move(vocabulary), static_cast<Index>(special),
                            Regex(config.text_of("pattern"), config.source() + ", pattern"), source);
  parts.added = std::move(added);
  return assemble_tokenizer(std::move(parts), settings, false, ends, source);
}

/// The name of a file of tiktoken's lines, or nothing. A tokenizer.model may be SentencePiece's, which begins
/// otherwise.
inline std::optional<std::string> tiktoken_file(const ModelFiles& files) {
  for (const char* name : {"tokenizer.model", "tiktoken.model"}) {
    if (!files.has(name)) continue;
    const std::string bytes = files.read(name, Bytes{64} << 20);
    const auto space = bytes.find_first_of(" \n");
    if (space != std::string::npos && space > 0 && bytes[space] == ' ' && static_cast<unsigned char>(bytes[0]) > ' ')
      return name;
  }
  return std::nullopt;
}

/// Tokens by rank of tiktoken's lines, "IQ== 0". Throws LoadError naming the line.
inline Vocabulary parse_tiktoken(std::string_view lines, const std::string& source) {
  Vocabulary vocabulary;
  for (std::size_t begin = 0, number = 1; begin < lines.size(); ++number) {
    const auto end = std::min(lines.find('\n', begin), lines.size());
    auto line = lines.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto place = text(source, ", line ", number);
    const auto space = std::min(line.find(' '), line.size());
    const auto digits = line.substr(std::min(space + 1, line.size()));
    const auto rank = static_cast<Index>(vocabulary.size());
    Index got = -1;
    const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), got);
    if (error != std::errc() || last != digits.data() + digits.size() || got != rank) {
      throw LoadError("load_tokenizer", place,
                      text("expected a token in base64, a space and the rank ", rank, ", got ",
                           Json(line.substr(0, 80)).dump(-1, ' ', true, Json::error_handler_t::replace)));
    }
    add_ranked_token(vocabulary, line.substr(0, space), rank, place);
  }
  expect_all_bytes(vocabulary, source);
  return vocabulary;
}

/// The added tokens that follow `size` ranks: transformers puts `<|reserved_token_N|>` where added_tokens_decoder has a
/// gap.
inline std::vector<AddedToken> tokens_behind_ranks(const TokenizerSettings& settings, std::uint64_t size,
                                                   const std::string& source) {
  constexpr std::uint64_t most = 65536;
  std::vector<AddedToken> result;
  for (const AddedToken& token : settings.special().added_tokens({}, false)) {
    if (!token.id.is_number_unsigned() || token.id.get<std::uint64_t>() < size) continue;
    const auto place = token.id.get<std::uint64_t>() - size;
    if (place >= most) {
      throw LoadError("load_tokenizer", text(source, ", added token \"", token.content, '"'),
                      text("expected an id below ", size + most, ", got ", token.id.get<std::uint64_t>()));
    }
    for (std::uint64_t gap = result.size(); gap <= place; ++gap)
      result.push_back({.content = text("<|reserved_token_", size + gap, "|>"), .id = size + gap, .special = true});
    result[place] = token;
  }
  return result;
}

/// A tiktoken file, which has neither the pattern nor special tokens: the pattern is that of Llama 3, special tokens
/// are those of the files beside it. Throws LoadError for other models, whose pattern is not known.
inline std::shared_ptr<const Tokenizer> load_tiktoken(const ModelFiles& files, const std::string& name,
                                                      TokenizerSettings& settings) {
  const std::string source = files.source(name);
  const bool is_llama = settings.model_type().empty() || settings.model_type() == "llama";
  if (!is_llama || settings.tokenizer_class(true) != TokenizerClass::tokenizers_backend) {
    throw LoadError("load_tokenizer", source,
                    text("expected a model of type llama with the class PreTrainedTokenizerFast or LlamaTokenizer, got "
                         "type \"",
                         settings.model_type(), "\" and class \"", settings.class_name(),
                         "\"; the file does not say how it cuts texts, so use the tokenizer.json of the model"));
  }
  Vocabulary vocabulary = parse_tiktoken(files.read(name, Bytes{64} << 20), source);
  auto added = tokens_behind_ranks(settings, static_cast<std::uint64_t>(vocabulary.size()), source);
  auto parts = ranked_parts(std::move(vocabulary), 0, Regex(llama3_pattern, source), source);
  parts.added = std::move(added);
  return assemble_tokenizer(std::move(parts), settings, false, std::nullopt, source);
}

}  // namespace greentrainer::detail
