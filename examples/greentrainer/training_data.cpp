#include "training_data.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "console.hpp"
#include "greentrainer/data/dataset_forms.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/pretrained/load_examples.hpp"

namespace greentrainer::program {

namespace {

DataOptions data_options(const DataChoice& choice, const ModelFacts& facts) {
  const Extent longest_target = choice.target_tokens > 0 ? choice.target_tokens : 512;
  return data_options_for(facts,
                          {.max_tokens = max_tokens(choice, facts),
                           .dataset = choice.dataset,
                           .rows = choice.rows,
                           .truncation = parse_truncation(choice.truncation),
                           .packing = parse_packing(choice.packing)},
                          longest_target);
}

/// "; the first is on line 7", with what went of conversations.
std::string about_truncation(const DataChoice& choice, Extent first_line, Extent turns_dropped) {
  return text(" (--truncation ", choice.truncation, "), first on line ", first_line,
              turns_dropped > 0 ? text("; ", turns_dropped, " turns of conversations went whole") : "");
}

}  // namespace

void declare_data(Command& command, DataChoice& choice) {
  command.whole("max-tokens", choice.max_tokens, 2,
                "Tokens of a row, or of a prompt and what is generated (the model's positions)");
  command.choice("truncation", choice.truncation, {truncation_names.begin(), truncation_names.end()},
                 "What is beyond --max-tokens: whole turns from a conversation's front and a prompt's front go; or the "
                 "end of either; or such a row is an error. Never BOS, separators or a completion (turns)");
  std::vector<std::string> names;
  for (const DatasetForm& form : dataset_forms) names.emplace_back(form.name);
  command.choice("dataset", choice.dataset, names, "Read a known data set's own form");
}

void declare_target_tokens(Command& command, DataChoice& choice) {
  command.whole("target-tokens", choice.target_tokens, 2,
                "Encoder-decoder models: tokens of a completion; --max-tokens are the prompt's (512)", 1 << 20);
}

void declare_packing(Command& command, DataChoice& choice) {
  command.choice("pack", choice.packing, {packing_names.begin(), packing_names.end()},
                 "Texts longer than --max-tokens: lose their end; are cut into as many sequences as it takes, each by "
                 "itself; or all texts are laid end to end and cut, so that sequences mix them (none)");
}

void say_ignored(const std::string& path, const IgnoredKeys& keys) {
  if (keys.empty()) return;
  std::string list;
  for (const auto& [key, count] : keys) list += text(list.empty() ? "" : ", ", key, " (", count, ")");
  say(text(path, ": warning: keys that are not read, and how often: ", list));
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
  if (choice.max_tokens == 0) return facts.max_positions;
  if (choice.max_tokens > facts.max_positions) {
    throw ConfigError(
        "load_data", "--max-tokens",
        text("expected at most ", facts.max_positions, ", the model's positions, got ", choice.max_tokens));
  }
  return choice.max_tokens;
}

Dataset load_data(const std::string& path, const Tokenizer* tokenizer, const ModelFacts& facts,
                  const DataChoice& choice) {
  const Extent longest = max_tokens(choice, facts);
  if (choice.target_tokens > 0 && !facts.target_shift) {
    throw ConfigError(
        "load_data", "--target-tokens",
        text("expected an encoder-decoder model, got model_type ", facts.model_type, "; use --max-tokens"));
  }
  const DataOptions options = data_options(choice, facts);
  Dataset data = load_jsonl(path, tokenizer, options);
  if (data.rows_dropped > 0) {
    say(text(
        path, ": ", data.rows_dropped, " of ", data.rows,
        " rows dropped: no token of theirs carries loss, or the completion exceeds ",
        facts.target_shift ? text("--target-tokens ", options.target->max_tokens) : text("--max-tokens ", longest)));
  }
  if (data.rows_truncated > 0)
    say(text(path, ": ", data.rows_truncated, " of ", data.rows, " rows truncated to --max-tokens ", longest,
             about_truncation(choice, data.first_truncated_line, data.turns_dropped)));
  if (options.packing != Packing::none)
    say(text(path, ": ", data.rows, " rows packed into ", data.examples.size(), " sequences of at most --max-tokens ",
             longest, " (--pack ", choice.packing, ")"));
  say_ignored(path, data.ignored_keys);
  return data;
}

Prompts load_prompts(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                     const DataChoice& choice, Extent new_tokens) {
  const Extent longest = max_tokens(choice, facts);
  if (!facts.target_shift && new_tokens >= longest) {
    throw ConfigError(
        "load_prompts", "--max-new-tokens",
        text("expected fewer than --max-tokens ", longest, ", which prompts are in, too, got ", new_tokens));
  }
  Prompts prompts = greentrainer::load_prompts(path, tokenizer, data_options(choice, facts), new_tokens);
  if (prompts.rows_truncated > 0) {
    say(text(path, ": ", prompts.rows_truncated, " of ", prompts.ids.size(), " prompts truncated to ",
             facts.target_shift ? longest : longest - new_tokens, " tokens",
             about_truncation(choice, prompts.first_truncated_line, 0)));
  }
  say_ignored(path, prompts.ignored_keys);
  return prompts;
}

Prompts load_questions(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                       const DataChoice& choice, Extent new_tokens) {
  Prompts prompts = load_prompts(path, tokenizer, facts, choice, new_tokens);
  for (std::size_t i = 0; i < prompts.ids.size(); ++i) {
    if (!prompts.references[i].empty()) continue;
    throw DataError("load_questions", text(path, ", line ", prompts.lines[i]),
                    "expected a completion to compare with, got none");
  }
  return prompts;
}

DatasetTask task_of(const DataChoice& choice) {
  return choice.dataset.empty() ? DatasetTask::summary : dataset_form(choice.dataset).task;
}

bool has_choices(const DataChoice& choice) { return task_of(choice) == DatasetTask::choice; }

Choices load_choices(const std::string& path, const Tokenizer& tokenizer, const ModelFacts& facts,
                     const DataChoice& choice) {
  return greentrainer::load_choices(path, tokenizer, data_options(choice, facts));
}

}  // namespace greentrainer::program
