#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "finetune_options.hpp"
#include "greentrainer/generate/text_scores.hpp"
#include "greentrainer/pretrained/generate_text.hpp"
#include "greentrainer/train/choice_evaluation.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "machine.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

/// Those of `all` that are evaluated, where that is at most so many: the rows that losses are of, too.
template <class T>
std::vector<T> sample_of(std::vector<T> all, Extent most) {
  const std::size_t of = all.size(), count = most > 0 ? std::min(of, static_cast<std::size_t>(most)) : of;
  for (std::size_t i = 0; i < count; ++i) std::swap(all[i], all[spread_index(i, count, of)]);
  all.resize(count);
  return all;
}

/// Share of the validation rows whose right label is the one that the model finds likeliest. The model must outlive it.
template <Backend B>
RunMetric accuracy_metric(PretrainedModel<B>& model, const FinetuneOptions& options, const DataChoice& choice) {
  Choices choices = load_choices(options.validation, model.tokenizer(), model.facts(), choice);
  const auto rows = std::make_shared<const std::vector<Choices::Row>>(
      sample_of(std::move(choices.rows), options.evaluation_examples));
  return {.name = options.keep_best, .larger_is_better = true, .take = [&model, rows]() -> std::optional<MetricValue> {
            const ChoiceEvaluation chosen =
                evaluate_choices(model, std::span<const Choices::Row>(*rows), {.should_stop = interrupted});
            if (chosen.rows.size() < rows->size()) return std::nullopt;
            return MetricValue{.value = chosen.accuracy(), .flops = chosen.flops};
          }};
}

/// How well the likeliest answers to the validation rows' prompts fit the references. FLOPs of generation are not
/// counted. The model must outlive it.
template <Backend B>
RunMetric answer_metric(PretrainedModel<B>& model, const FinetuneOptions& options, const DataChoice& choice) {
  struct Questions {
    std::vector<std::vector<Index>> prompts;
    std::vector<std::vector<std::string>> references;
  };
  Prompts all = load_questions(options.validation, model.tokenizer(), model.facts(), choice, options.evaluation_tokens);
  const auto questions = std::make_shared<const Questions>(
      Questions{.prompts = sample_of(std::move(all.ids), options.evaluation_examples),
                .references = sample_of(std::move(all.references), options.evaluation_examples)});
  const GenerateOptions how{.max_new_tokens = options.evaluation_tokens, .eos_ids = eos_ids_of(model)};
  const auto take = [&model, questions, how, name = options.keep_best,
                     task = task_of(choice)]() -> std::optional<MetricValue> {
    std::vector<std::string> texts;
    for (const Generated& generated : generate(model, questions->prompts, how))
      texts.push_back(model.tokenizer().decode(generated.ids));
    if (interrupted()) return std::nullopt;
    const TextScores scores = score_texts(task, texts, questions->references);
    const auto at = std::find(scores.names.begin(), scores.names.end(), name) - scores.names.begin();
    return MetricValue{.value = scores.mean.at(static_cast<std::size_t>(at))};
  };
  return {.name = options.keep_best, .larger_is_better = true, .take = take};
}

/// What --keep-best compares states by. Throws DataError for rows without references.
template <Backend B>
std::optional<RunMetric> run_metric(PretrainedModel<B>& model, const FinetuneOptions& options) {
  if (options.keep_best.empty()) return std::nullopt;
  if (options.keep_best == "loss") return RunMetric{};
  DataChoice choice = options.data;
  choice.rows = options.validation_rows;
  return options.keep_best == "accuracy" ? accuracy_metric(model, options, choice)
                                         : answer_metric(model, options, choice);
}

}  // namespace greentrainer::program
