#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "greentrainer/generate/generate_options.hpp"
#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"

namespace greentrainer::testing {

/// The options that a golden file gives: names are those of the struct.
inline GenerateOptions golden_options(const Json& json) {
  GenerateOptions o;
  o.max_new_tokens = json.value("max_new_tokens", o.max_new_tokens);
  o.min_new_tokens = json.value("min_new_tokens", o.min_new_tokens);
  o.eos_ids = json.value("eos_ids", o.eos_ids);
  o.repetition_penalty = json.value("repetition_penalty", o.repetition_penalty);
  o.no_repeat_ngram_size = json.value("no_repeat_ngram_size", o.no_repeat_ngram_size);
  o.beams = json.value("beams", o.beams);
  o.length_penalty = json.value("length_penalty", o.length_penalty);
  o.early_stopping = json.value("early_stopping", o.early_stopping);
  o.temperature = json.value("temperature", o.temperature);
  o.top_k = json.value("top_k", o.top_k);
  o.top_p = json.value("top_p", o.top_p);
  return o;
}

/// What transformers' generate gives for prompts under several options (tests/golden/make_generation_goldens.py).
struct GoldenGeneration {
  struct Case {
    std::string name;
    GenerateOptions options;
    std::vector<std::vector<Index>> ids;
    std::vector<double> scores;
  };

  explicit GoldenGeneration(const std::string& name)
      : json(read_json_file(testing::source_folder() / "tests/golden/generation" / (name + ".json"))),
        prompts(json.at("prompts").get<std::vector<std::vector<Index>>>()) {
    for (const Json& c : json.at("cases")) {
      cases.push_back({c.at("name"), golden_options(c.at("options")),
                       c.at("ids").get<std::vector<std::vector<Index>>>(), c.at("scores").get<std::vector<double>>()});
    }
  }

  Json json;
  std::vector<std::vector<Index>> prompts;
  std::vector<Case> cases;
};

}  // namespace greentrainer::testing
