#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "command.hpp"
#include "console.hpp"
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

/// Those that are not about beams.
void declare_sampling(Command& command, GenerationChoice& choice);

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
  OrderedJson json(std::size_t i, const std::vector<std::vector<Index>>& prompts,
                   const std::vector<Extent>& lines) const;
};

/// Names on stderr the settings of the model's folder that are not followed.
template <Backend B>
void say_settings_not_followed(const PretrainedModel<B>& model) {
  std::string settings;
  for (const std::string& name : generation_settings_not_followed(model))
    settings += (settings.empty() ? "" : ", ") + name;
  if (!settings.empty()) say(text("note: generation_config.json's ", settings, ": not followed; give options instead"));
}

/// Says on stderr how far it is, now and then.
template <Backend B>
GeneratedTexts generate_texts(PretrainedModel<B>& model, const std::vector<std::vector<Index>>& prompts,
                              const GenerationChoice& choice) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); };
  constexpr double seconds_between_lines = 10;
  GenerateOptions options = choice.options;
  options.seed = static_cast<std::uint64_t>(choice.seed);
  options.eos_ids = eos_ids_of(model);
  say_settings_not_followed(model);
  GeneratedTexts result;
  const auto start = Clock::now();
  auto last_said = start;
  std::size_t done = 0;
  result.generated = Generator<B>(model, options)(prompts, [&](std::size_t number, const Generated& generated) {
    ++done;
    result.prompt_tokens += static_cast<Extent>(prompts[number].size());
    result.new_tokens += static_cast<Extent>(generated.ids.size());
    if (since(last_said) < seconds_between_lines) return;
    last_said = Clock::now();
    say(text("generated for ", done, " of ", prompts.size(), " prompts, ",
             fixed(static_cast<double>(result.new_tokens) / since(start), 1), " tokens/s"));
  });
  result.seconds = since(start);
  for (const Generated& generated : result.generated) result.texts.push_back(model.tokenizer().decode(generated.ids));
  return result;
}

}  // namespace greentrainer::program
