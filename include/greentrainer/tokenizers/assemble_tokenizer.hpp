#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/tokenizers/pipeline_tokenizer.hpp"
#include "greentrainer/tokenizers/post_processor.hpp"
#include "greentrainer/tokenizers/tokenizer_settings.hpp"

namespace greentrainer::detail {

/// Gives the tokens that the vocabulary does not have the ids behind it, in their order, as transformers does. Throws
/// LoadError naming `source` for a token whose file says another id.
inline void assign_new_ids(std::vector<AddedToken>& tokens, const Vocabulary& vocabulary, const std::string& source) {
  StringMap<Index> assigned;
  auto next = static_cast<Index>(vocabulary.size());
  for (auto& token : tokens) {
    if (token.content.empty() || vocabulary.id(token.content)) continue;
    const auto [found, is_new] = assigned.emplace(token.content, next);
    if (is_new) ++next;
    if (!token.id.is_null() && token.id != found->second) {
      throw LoadError("load_tokenizer", text(source, ", added token \"", token.content, '"'),
                      text("expected id ", found->second, ", the next one behind the vocabulary, got ",
                           token.id.dump(-1, ' ', true).substr(0, 40)));
    }
    token.id = static_cast<std::uint64_t>(found->second);
  }
}

/// `rebuilt`: the class takes no added tokens from tokenizer.json itself. `ends`: null where the flags of
/// tokenizer_config.json count.
inline std::shared_ptr<const Tokenizer> assemble_tokenizer(PipelineTokenizer::Parts parts,
                                                           const TokenizerSettings& settings, bool rebuilt,
                                                           const std::optional<SequenceEnds>& ends,
                                                           const std::string& source) {
  const auto& vocabulary = parts.model->vocabulary();
  parts.added = settings.special().added_tokens(parts.added, rebuilt);
  StringMap<bool> appended;  // that no file gives an id
  for (const auto& token : parts.added) {
    if (token.id.is_null() && !vocabulary.id(token.content)) appended.emplace(token.content, true);
  }
  assign_new_ids(parts.added, vocabulary, source);
  StringMap<Index> added;  // those beyond the vocabulary
  std::unordered_map<Index, std::string> added_tokens;
  for (const auto& token : parts.added) {
    if (vocabulary.id(token.content) || !token.id.is_number_unsigned()) continue;
    added.emplace(token.content, token.id.get<Index>());
    added_tokens.emplace(token.id.get<Index>(), token.content);
  }
  const auto any_id_of = [&](const std::string& token) -> std::optional<Index> {
    const auto found = added.find(token);
    return found != added.end() ? std::optional(found->second) : vocabulary.id(token);
  };
  const auto token_of = [&](Index id) {
    const auto found = added_tokens.find(id);
    return found != added_tokens.end() ? found->second : vocabulary.token(id);
  };
  for (const auto& end : {ends ? ends->bos : std::nullopt, ends ? ends->eos : std::nullopt}) {
    if (end && any_id_of(end->token) != end->id) {
      throw LoadError("load_tokenizer", text(source, ", post_processor"),
                      text("expected the id of \"", end->token, "\" in the vocabulary, got ", end->id));
    }
  }
  // A model knows nothing of a BOS or EOS that is appended.
  for (const auto role : {SpecialTokens::bos, SpecialTokens::eos}) {
    const auto content = settings.special().content(role);
    if (content && appended.contains(*content)) {
      throw LoadError("load_tokenizer", source,
                      text("expected ", SpecialTokens::role_names[role], " in the vocabulary, got \"", *content,
                           "\", which is not"));
    }
  }
  auto traits = settings.traits(any_id_of, token_of);
  traits.adds_bos = ends ? ends->bos.has_value() : settings.adds_bos();
  traits.adds_eos = ends ? ends->eos.has_value() : settings.adds_eos();
  if (ends && ends->bos) traits.bos_id = ends->bos->id;
  if (ends && ends->eos) traits.eos_id = ends->eos->id;
  parts.splits_special_tokens = settings.splits_special_tokens();
  return std::make_shared<PipelineTokenizer>(std::move(parts), std::move(traits), source);
}

}  // namespace greentrainer::detail
