// greentrainer evaluate: loss and perplexity of a model on data, together and example by example; accuracy where there are labels to choose from.

#include <iostream>
#include <memory>

#include "commands.hpp"
#include "console.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/choice_evaluation.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer evaluate --model tuned --data validation.jsonl\n"
    "  greentrainer evaluate --model tuned --data validation.jsonl --json >evaluation.json\n"
    "  greentrainer evaluate --model tuned --data valid.jsonl --dataset piqa          # and accuracy\n"
    "The loss is the mean over all labelled tokens, in nats. Data forms are those of finetune. Of data sets whose rows have labels to choose from\n"
    "  (piqa, uci_sentiment), the label that the model finds likeliest is compared with the right one.";

struct Options {
  std::string model, data, config, backend = "eigen";
  Extent batch_size = 8, threads = 0;
  DataChoice choice;
  bool json = false;
};

template <Backend B>
int evaluate_on(B& backend, const Options& options) {
  auto model = load_pretrained(std::filesystem::path(options.model), backend);
  const Dataset data = load_data(options.data, model.has_tokenizer() ? &model.tokenizer() : nullptr, model.facts(), options.choice);
  say_if_not_native();
  const Evaluation evaluation = evaluate(model, data.examples, options.batch_size);
  Choices choices;
  ChoiceEvaluation chosen;
  if (has_choices(options.choice)) {
    choices = load_choices(options.data, model.tokenizer(), model.facts(), options.choice);
    chosen = evaluate_choices(model, std::span<const Choices::Row>(choices.rows), options.batch_size);
  }
  if (options.json) {
    OrderedJson json = {{"loss", evaluation.loss}, {"tokens", evaluation.tokens}, {"perplexity", evaluation.perplexity()}, {"examples", OrderedJson::array()}};
    for (std::size_t i = 0; i < evaluation.examples.size(); ++i) {
      const auto& example = evaluation.examples[i];
      json["examples"].push_back({{"line", data.lines[i]}, {"loss", example.loss}, {"tokens", example.tokens}});
    }
    if (!choices.rows.empty()) json["accuracy"] = chosen.accuracy();
    for (std::size_t i = 0; i < choices.rows.size(); ++i) {
      const auto& row = chosen.rows[i];
      json["choices"].push_back({{"line", choices.rows[i].line}, {"chosen", row.chosen}, {"answer", choices.rows[i].answer}, {"log_likelihoods", row.log_likelihoods}});
    }
    print_json(json);
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"line", "loss", "tokens"}};
  for (std::size_t i = 0; i < evaluation.examples.size(); ++i) {
    const auto& example = evaluation.examples[i];
    rows.push_back({text(data.lines[i]), fixed(example.loss, 4), text(example.tokens)});
  }
  print_table(rows);
  std::cout << "loss " << fixed(evaluation.loss, 4) << ", perplexity " << fixed(evaluation.perplexity(), 2) << " over " << evaluation.tokens << " labelled tokens of "
            << evaluation.examples.size() << " examples\n";
  if (!choices.rows.empty()) std::cout << "accuracy " << fixed(chosen.accuracy(), 4) << ": " << chosen.correct << " of " << chosen.rows.size() << " rows\n";
  return 0;
}

int run(const Command& command, const Options& options) {
  command.require("model");
  command.require("data");
  require_backend(command, options.backend);
  EigenBackend<float> backend(static_cast<int>(options.threads));
  return evaluate_on(backend, options);
}

}  // namespace

Command make_evaluate_command() {
  const auto options = std::make_shared<Options>();
  Command command("evaluate", "Loss, perplexity and accuracy of a model on data", examples);
  command.text("model", options->model, "DIR", "Model folder in Hugging Face form (safetensors)");
  command.text("data", options->data, "FILE", "Data, JSON lines");
  command.whole("batch-size", options->batch_size, 1, "Examples in a pass (8)");
  command.whole("max-tokens", options->choice.max_tokens, 2, "Tokens of a row; prompts are cut to it (the model's positions, at most 512)");
  command.whole("target-tokens", options->choice.target_tokens, 2, "Encoder-decoder models: tokens of a completion; --max-tokens are the prompt's (512)", 1 << 20);
  command.choice("dataset", options->choice.dataset, dataset_names(), "Read a known data set's own form");
  command.whole("threads", options->threads, 0, "0: all cores; results do not depend on it (0)", 1024);
  command.text("backend", options->backend, "NAME", "eigen (eigen)");
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.run = [options](const Command& self) { return run(self, *options); };
  return command;
}

}  // namespace greentrainer::program
