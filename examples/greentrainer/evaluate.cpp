// greentrainer evaluate: loss and perplexity of a model on data, together and example by example; accuracy where there
// are labels to choose from; how well what it generates fits the references.

#include <iostream>
#include <memory>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "generation.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/generate/text_scores.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "greentrainer/train/choice_evaluation.hpp"
#include "progress.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer evaluate --model tuned --data validation.jsonl\n"
    "  greentrainer evaluate --model tuned --data validation.jsonl --json >evaluation.json\n"
    "  greentrainer evaluate --model tuned --data valid.jsonl --dataset piqa          # and accuracy\n"
    "  greentrainer evaluate --model tuned --data test.jsonl --dataset scitldr --generate --beams 4 "
    "--repetition-penalty 2.5 --early-stopping\n"
    "The loss is the mean over all labelled tokens, in nats. Data forms are those of finetune. Of data sets whose rows "
    "have labels to choose from\n"
    "  (piqa, uci_sentiment), the label that the model finds likeliest is compared with the right one. With --generate "
    "the model answers each "
    "prompt, and its answers\n"
    "  are compared with the references: summaries, and the completions of JSON lines, by ROUGE; other answers by "
    "exact match and F1.";

struct Options {
  std::string model, data, config;
  BackendChoice backend;
  Extent batch_size = 8;
  DataChoice choice;
  GenerationChoice generation;
  bool generates = false, json = false;
};

/// What the model is asked, what it answers, and how well.
struct Answers {
  Prompts prompts;
  GeneratedTexts generated;
  TextScores scores;
};

/// Adds "rouge" or "exact_match" and "f1", "generation" and "generations" to the report.
void add_answers(OrderedJson& json, const Answers& answers, DatasetTask task) {
  const auto named = [&](const std::vector<double>& values) {
    OrderedJson scores;
    for (std::size_t s = 0; s < values.size(); ++s) scores[std::string(answers.scores.names[s])] = values[s];
    return scores;
  };
  if (task == DatasetTask::summary)
    json["rouge"] = named(answers.scores.mean);
  else
    json.update(named(answers.scores.mean));
  json["generation"] = {{"prompt_tokens", answers.generated.prompt_tokens},
                        {"new_tokens", answers.generated.new_tokens},
                        {"seconds", answers.generated.seconds},
                        {"tokens_per_second", answers.generated.tokens_per_second()}};
  json["generations"] = OrderedJson::array();
  for (std::size_t i = 0; i < answers.generated.texts.size(); ++i) {
    OrderedJson one = answers.generated.json(i, answers.prompts.ids, answers.prompts.lines);
    one["scores"] = named(answers.scores.of_text[i]);
    json["generations"].push_back(std::move(one));
  }
}

template <Backend B>
int evaluate_on(B& backend, const Options& options) {
  auto model = load_model_or_adapter(std::filesystem::path(options.model), backend);
  const Dataset data =
      load_data(options.data, model.has_tokenizer() ? &model.tokenizer() : nullptr, model.facts(), options.choice);
  Answers answers;
  if (options.generates) {
    answers.prompts = load_questions(options.data, model.tokenizer(), model.facts(), options.choice,
                                     options.generation.options.max_new_tokens);
  }
  say_if_not_native();
  Progress progress(0);
  std::size_t all = data.examples.size();
  const EvaluateOptions how{.batch_size = options.batch_size,
                            .on_pass = [&](std::size_t done) { progress.evaluation(done, all, ""); }};
  const Evaluation evaluation = evaluate(model, data.examples, how);
  Choices choices;
  ChoiceEvaluation chosen;
  if (has_choices(options.choice)) {
    choices = load_choices(options.data, model.tokenizer(), model.facts(), options.choice);
    all = 0;
    for (const Choices::Row& row : choices.rows) all += row.candidates.size();
    chosen = evaluate_choices(model, std::span<const Choices::Row>(choices.rows), how);
  }
  progress.clear();
  if (options.generates) {
    answers.generated = generate_texts(model, answers.prompts.ids, options.generation);
    answers.scores = score_texts(task_of(options.choice), answers.generated.texts, answers.prompts.references);
  }
  if (options.json) {
    OrderedJson json = {{"loss", evaluation.loss},
                        {"tokens", evaluation.tokens},
                        {"perplexity", evaluation.perplexity()},
                        {"rows_dropped", data.rows_dropped},
                        {"rows_truncated", data.rows_truncated},
                        {"turns_dropped", data.turns_dropped},
                        {"ignored_keys", data.ignored_keys},
                        {"examples", OrderedJson::array()}};
    for (std::size_t i = 0; i < evaluation.examples.size(); ++i) {
      const auto& example = evaluation.examples[i];
      json["examples"].push_back({{"line", data.lines[i]}, {"loss", example.loss}, {"tokens", example.tokens}});
    }
    if (!choices.rows.empty()) json["accuracy"] = chosen.accuracy();
    for (std::size_t i = 0; i < choices.rows.size(); ++i) {
      const auto& row = chosen.rows[i];
      json["choices"].push_back({{"line", choices.rows[i].line},
                                 {"chosen", row.chosen},
                                 {"answer", choices.rows[i].answer},
                                 {"log_likelihoods", row.log_likelihoods}});
    }
    if (options.generates) add_answers(json, answers, task_of(options.choice));
    print_json(json);
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"line", "loss", "tokens"}};
  for (std::size_t i = 0; i < evaluation.examples.size(); ++i) {
    const auto& example = evaluation.examples[i];
    rows.push_back({text(data.lines[i]), fixed(example.loss, 4), text(example.tokens)});
  }
  print_table(rows);
  std::cout << "loss " << fixed(evaluation.loss, 4) << ", perplexity " << fixed(evaluation.perplexity(), 2) << " over "
            << evaluation.tokens << " labelled tokens of " << evaluation.examples.size() << " examples\n";
  if (!choices.rows.empty())
    std::cout << "accuracy " << fixed(chosen.accuracy(), 4) << ": " << chosen.correct << " of " << chosen.rows.size()
              << " rows\n";
  if (options.generates) {
    for (std::size_t s = 0; s < answers.scores.names.size(); ++s) {
      std::cout << (s == 0 ? "" : ", ") << answers.scores.names[s] << " " << fixed(answers.scores.mean[s], 4);
    }
    std::cout << " over " << answers.generated.texts.size() << " generated texts\n";
  }
  return 0;
}

void check(const Command& command, Options& options) {
  command.require("model");
  command.require("data");
  if (!options.generates) {
    for (const std::string& name : generation_option_names())
      command.refuse(name, "generate", "evaluation without --generate");
  } else if (has_choices(options.choice)) {
    bad_usage("evaluate", text("--generate: expected data whose answers are texts, got --dataset ",
                               options.choice.dataset, ", whose labels are chosen from"));
  }
  check_generation(command, options.generation);
  options.generation.options.batch_size = options.batch_size;
  check_backend(command, options.backend);
}

int run(const Options& options) {
  return with_backend(options.backend, [&](auto& backend) { return evaluate_on(backend, options); });
}

}  // namespace

Command make_evaluate_command() {
  const auto options = std::make_shared<Options>();
  Command command("evaluate", "Loss, perplexity and accuracy of a model on data, and how well it generates", examples);
  command.text(
      "model", options->model, "DIR",
      "Model folder in Hugging Face form (safetensors), a GGUF file, or an adapter's folder, as peft saves it");
  command.text("data", options->data, "FILE", "Data, JSON lines");
  command.whole("batch-size", options->batch_size, 1, "Examples in a pass (8)");
  declare_data(command, options->choice);
  declare_target_tokens(command, options->choice);
  declare_packing(command, options->choice);
  declare_rows(command, "rows", options->choice.rows,
               "Rows to use: the first so many, or those from FROM, counted from 0, to before TO (all)");
  command.on("generate", options->generates, "Generate an answer to each prompt, --batch-size at a time, and score it");
  declare_generation(command, options->generation);
  declare_backend(command, options->backend);
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
