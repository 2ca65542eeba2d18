#include "training_data.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "console.hpp"
#include "greentrainer/pretrained/load_examples.hpp"

namespace greentrainer::program {

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const DatasetForm& form : dataset_forms) names.emplace_back(form.name);
  return names;
}

void declare_rows(Command& command, const std::string& name, RowRange& rows, const std::string& help) {
  command.option(
      {name, "N|FROM:TO", help, false, [where = command.name(), name, &rows](const std::vector<std::string>& values) {
         const std::string& value = values.back();
         const std::size_t colon = value.find(':');
         RowRange range;
         const auto read = [](std::string_view part, Extent& number) {
           const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
           return error == std::errc{} && end == part.data() + part.size();
         };
         const bool from = colon == std::string::npos || read(std::string_view(value).substr(0, colon), range.first);
         const bool to = read(std::string_view(value).substr(colon == std::string::npos ? 0 : colon + 1), range.last);
         if (!from || !to || range.first < 0 || range.first >= range.last) {
           bad_usage(where, text("--", name, ": expected a number of rows or a range such as 400:500, got ", value));
         }
         rows = range;
       }});
}

Extent max_tokens(const DataChoice& choice, const ModelFacts& facts) {
  constexpr Extent usual = 512;
  if (choice.max_tokens == 0) return std::min(usual, facts.max_positions);
  if (choice.max_tokens > facts.max_positions) {
    throw ConfigError("load_data", text("--max-tokens: expected at most ", facts.max_positions,
                                        ", the model's positions, got ", choice.max_tokens));
  }
  return choice.max_tokens;
}

Dataset load_data(const std::string& path, const Tokenizer* tokenizer, const ModelFacts& facts,
                  const DataChoice& choice) {
  const Extent longest = max_tokens(choice, facts);
  if (choice.target_tokens > 0 && !facts.target_shift) {
    throw ConfigError("load_data", text("--target-tokens: expected an encoder-decoder model, got model_type ",
                                        facts.model_type, "; use --max-tokens"));
  }
  const Extent longest_target = choice.target_tokens > 0 ? choice.target_tokens : 512;
  Dataset data = load_jsonl(
      path, tokenizer,
      data_options_for(facts, {.max_tokens = longest, .dataset = choice.dataset, .rows = choice.rows}, longest_target));
  if (data.rows_dropped > 0) {
    say(text(path, ": ", data.rows_dropped, " of ", data.rows,
             " rows dropped: no token of theirs carries loss, or the completion exceeds ",
             facts.target_shift ? text("--target-tokens ", longest_target) : text("--max-tokens ", longest)));
  }
  if (data.rows_truncated > 0)
    say(text(path, ": ", data.rows_truncated, " of ", data.rows, " rows truncated to --max-tokens ", longest));
  return data;
}

Prompts load_prompts(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                     const DataChoice& choice, Extent new_tokens) {
  const Extent longest = max_tokens(choice, facts);
  if (!facts.target_shift && new_tokens >= longest) {
    throw ConfigError("load_prompts", text("--max-new-tokens: expected fewer than --max-tokens ", longest,
                                           ", which prompts are in, too, got ", new_tokens));
  }
  Prompts prompts = greentrainer::load_prompts(
      path, tokenizer, data_options_for(facts, {.max_tokens = longest, .dataset = choice.dataset, .rows = choice.rows}),
      new_tokens);
  if (prompts.rows_truncated > 0) {
    say(text(path, ": ", prompts.rows_truncated, " of ", prompts.ids.size(), " prompts truncated to ",
             facts.target_shift ? longest : longest - new_tokens, " tokens"));
  }
  return prompts;
}

DatasetTask task_of(const DataChoice& choice) {
  return choice.dataset.empty() ? DatasetTask::summary : dataset_form(choice.dataset).task;
}

bool has_choices(const DataChoice& choice) { return task_of(choice) == DatasetTask::choice; }

Choices load_choices(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                     const DataChoice& choice) {
  return greentrainer::load_choices(
      path, tokenizer,
      data_options_for(facts,
                       {.max_tokens = max_tokens(choice, facts), .dataset = choice.dataset, .rows = choice.rows}));
}

}  // namespace greentrainer::program
