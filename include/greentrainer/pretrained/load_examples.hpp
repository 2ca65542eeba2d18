#pragma once

#include <filesystem>
#include <utility>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

/// What a model says about the data it reads: its vocabulary, its positions, and how an encoder-decoder's targets
/// begin. Targets may be as long as `max_target_tokens`. Throws ConfigError for more tokens than the model has
/// positions.
inline DataOptions data_options_for(const ModelFacts& facts, DataOptions options = {}, Extent max_target_tokens = 512) {
  options.vocabulary = facts.vocabulary;
  if (options.max_tokens > facts.max_positions) {
    throw ConfigError(
        "load_data", "max_tokens",
        text("expected at most ", facts.max_positions, ", the model's positions, got ", options.max_tokens));
  }
  if (options.max_tokens == 0) options.max_tokens = facts.max_positions;
  if (facts.target_shift) options.target = TargetOptions{.shift = *facts.target_shift, .max_tokens = max_target_tokens};
  return options;
}

/// Reads a file of one JSON object a line as examples for this model. Throws DataError naming file and line.
template <Backend B>
Dataset load_jsonl(const std::filesystem::path& path, const PretrainedModel<B>& model, DataOptions options = {}) {
  return load_jsonl(path, model.has_tokenizer() ? &model.tokenizer() : nullptr,
                    data_options_for(model.facts(), std::move(options)));
}

}  // namespace greentrainer
