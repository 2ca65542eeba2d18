#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "command.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/generate_text.hpp"

namespace greentrainer::program {

/// How text is generated, as options say.
struct GenerationChoice {
  GenerateOptions options;
  Extent seed = 0;
};

/// Declares the options of generation. `choice` must outlive the command.
void declare_generation(Command& command, GenerationChoice& choice);

/// The options of generation, without dashes.
std::vector<std::string> generation_option_names();

/// Throws UsageError for options that have no effect with the others.
void check_generation(const Command& command, const GenerationChoice& choice);

/// What was generated for prompts, as texts too.
struct GeneratedTexts {
  std::vector<Generated> generated;
  std::vector<std::string> texts;
  Extent prompt_tokens = 0;
  Extent new_tokens = 0;
  double seconds = 0;

  double tokens_per_second() const { return static_cast<double>(new_tokens) / seconds; }
  /// "line", where there are lines, "prompt_tokens", "tokens", "ended", "score" of beams, "ids", "text".
  OrderedJson json(std::size_t i, const std::vector<std::vector<Index>>& prompts, const std::vector<Extent>& lines) const;
};

/// Says on stderr how far it is, now and then.
GeneratedTexts generate_texts(PretrainedModel<EigenBackend<float>>& model, const std::vector<std::vector<Index>>& prompts,
                              const GenerationChoice& choice);

}  // namespace greentrainer::program
