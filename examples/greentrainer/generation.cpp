#include "generation.hpp"

#include "console.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer::program {

void declare_generation(Command& command, GenerationChoice& choice) {
  GenerateOptions& o = choice.options;
  declare_sampling(command, choice);
  command.whole("beams", o.beams, 1, "More than 1: beam search (1)", 1024);
  command.number("length-penalty", o.length_penalty, -100, false,
                 "Beams: log-probability is divided by tokens to this power (1)", 100);
  command.on("early-stopping", o.early_stopping, "Beams: stop as soon as --beams texts are finished");
}

void declare_sampling(Command& command, GenerationChoice& choice) {
  GenerateOptions& o = choice.options;
  command.whole("max-new-tokens", o.max_new_tokens, 1,
                text("Most tokens to generate for a prompt (", o.max_new_tokens, ")"), 1 << 20);
  command.whole("min-new-tokens", o.min_new_tokens, 0, "No end of the text before so many (0)", 1 << 20);
  command.number("repetition-penalty", o.repetition_penalty, 0, true,
                 "Above 1: tokens that are in the text or prompt become less likely (1)");
  command.whole("no-repeat-ngram-size", o.no_repeat_ngram_size, 0, "No run of so many tokens twice; 0: off (0)",
                1 << 20);
  command.number("temperature", o.temperature, 0, false,
                 "Above 0: draw tokens, from scores divided by this (0: the most probable)");
  command.whole("top-k", o.top_k, 0, "Draw from the so many best; 0: all (0)");
  command.number("top-p", o.top_p, 0, true, "Draw from the best that together have this probability (1)", 1);
  command.whole("seed", choice.seed, 0, "Of the draws (0)");
}

std::vector<std::string> generation_option_names() {
  Command declared("", "", "");
  GenerationChoice choice;
  declare_generation(declared, choice);
  std::vector<std::string> names;
  for (const Command::Option& option : declared.options()) names.push_back(option.name);
  return names;
}

void check_generation(const Command& command, const GenerationChoice& choice) {
  const GenerateOptions& o = choice.options;
  if (o.temperature == 0) {
    for (const char* name : {"top-k", "top-p", "seed"}) command.refuse(name, "temperature", "--temperature 0");
  } else if (o.beams > 1) {
    command.refuse("beams", "temperature", "--temperature above 0");
  }
  if (o.beams == 1 && command.find("beams") != nullptr) {
    for (const char* name : {"length-penalty", "early-stopping"}) command.refuse(name, "beams", "--beams 1");
  }
  if (o.min_new_tokens > o.max_new_tokens) {
    bad_usage(command.name(), text("--min-new-tokens: expected at most --max-new-tokens ", o.max_new_tokens, ", got ",
                                   o.min_new_tokens));
  }
}

OrderedJson GeneratedTexts::json(std::size_t i, const std::vector<std::vector<Index>>& prompts,
                                 const std::vector<Extent>& lines) const {
  OrderedJson one;
  if (!lines.empty()) one["line"] = lines[i];
  one["prompt_tokens"] = prompts[i].size();
  one["tokens"] = generated[i].ids.size();
  one["ended"] = generated[i].ended;
  if (generated[i].score != 0) one["score"] = generated[i].score;
  one["ids"] = generated[i].ids;
  one["text"] = texts[i];
  return one;
}

}  // namespace greentrainer::program
