#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/prompt_encoder.hpp"
#include "greentrainer/generate/generate.hpp"
#include "greentrainer/pretrained/generation_ends.hpp"
#include "greentrainer/pretrained/load_examples.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

/// The ids of a text as a prompt, whole: what training puts in front of an answer, so no EOS behind it but an
/// encoder-decoder's. Throws as Tokenizer::encode.
template <Backend B>
std::vector<Index> prompt_ids(const PretrainedModel<B>& model, const std::string& prompt) {
  const std::optional<TargetOptions> target = data_options_for(model.facts()).target;
  return PromptEncoder(model.tokenizer(), 0, Truncation::turns, target).prompt(completion_row(prompt, ""), 0).ids;
}

/// Generates text for texts: what a decoder-only model goes on with, or an encoder-decoder's sources. Where `options`
/// name no ends, they are the model's. Throws as Generator, and as Tokenizer::encode.
template <Backend B>
std::vector<std::string> generate_text(PretrainedModel<B>& model, std::span<const std::string> prompts,
                                       GenerateOptions options = {}) {
  if (options.eos_ids.empty()) options.eos_ids = eos_ids_of(model);
  std::vector<std::vector<Index>> ids;
  for (const std::string& prompt : prompts) ids.push_back(prompt_ids(model, prompt));
  std::vector<std::string> texts;
  for (const Generated& generated : generate(model, ids, options))
    texts.push_back(model.tokenizer().decode(generated.ids));
  return texts;
}

}  // namespace greentrainer
