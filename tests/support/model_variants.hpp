#pragma once

#include <string>
#include <vector>

#include "greentrainer/blocks/graph_options.hpp"
#include "support/golden_model.hpp"

namespace greentrainer::testing {

/// One of the tiny models, and what its graph has beside.
struct ModelVariant {
  std::string model;
  GraphOptions options = {};
};

/// The tiny models as they are, and each family with adapters: beside every linear layer, in front of keys, and both,
/// with elements dropped; two whose attention has a window of 5 tokens in some layers. Token ids below 80 are known to
/// all.
inline std::vector<ModelVariant> model_variants() {
  std::vector<ModelVariant> all;
  for (const std::string& name : golden_names()) all.push_back({name});
  for (const std::string& name : padding_golden_names()) all.push_back({name});
  const LoraOptions everywhere{.rank = 3, .alpha = 4, .dropout = 0.2, .targets = {"*"}};
  all.push_back({"opt-post", {.lora = everywhere, .prefix_tokens = 0, .dropout = 0.1}});
  all.push_back({"llama-gqa-tied", {.lora = LoraOptions{.rank = 2}, .prefix_tokens = 4}});
  all.push_back({"bloom", {.lora = everywhere, .prefix_tokens = 3, .dropout = 0.1}});
  all.push_back({"t5-tied-relu", {.lora = everywhere, .prefix_tokens = 2, .dropout = 0.1}});
  all.push_back({"../architectures/gemma2"});
  all.push_back({"../architectures/ministral", {.lora = everywhere}});
  return all;
}

}  // namespace greentrainer::testing
