// Options out of range are refused where they are used, by their field.

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/blocks/graph_options.hpp"
#include "greentrainer/data/row_range.hpp"
#include "greentrainer/generate/generate_options.hpp"
#include "greentrainer/train/choice_evaluation.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;
using B = EigenBackend<float>;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();

/// An option's field, and a use of a value that it must not have.
struct Refused {
  const char* field;
  const char* value;
  std::function<void()> use;
};

void check(const std::vector<Refused>& table) {
  for (const Refused& one : table) {
    CAPTURE(one.field);
    CAPTURE(one.value);
    try {
      one.use();
      FAIL_CHECK("expected a ConfigError");
    } catch (const ConfigError& error) {
      const std::string what = error.what();
      CAPTURE(what);
      CHECK(what.find(std::string("] ") + one.field + ": expected ") != std::string::npos);
      CHECK(what.find(std::string(", got ") + one.value) != std::string::npos);
    }
  }
}

}  // namespace

TEST_CASE("optimizers refuse rates that are no rates, by field") {
  B backend(1);
  const auto adamw = [&](AdamWOptions options) { return [&backend, options] { make_optimizer(backend, options); }; };
  const auto sgd = [&](SgdOptions options) { return [&backend, options] { make_optimizer(backend, options); }; };
  check({
      {"learning_rate", "-0.001", adamw({.learning_rate = -1e-3})},
      {"learning_rate", "0", adamw({.learning_rate = 0})},
      {"learning_rate", "nan", adamw({.learning_rate = not_a_number})},
      {"learning_rate", "inf", adamw({.learning_rate = infinity})},
      {"beta1", "-0.1", adamw({.beta1 = -0.1})},
      {"beta1", "1", adamw({.beta1 = 1})},
      {"beta1", "nan", adamw({.beta1 = not_a_number})},
      {"beta2", "-0.1", adamw({.beta2 = -0.1})},
      {"beta2", "1.5", adamw({.beta2 = 1.5})},
      {"beta2", "nan", adamw({.beta2 = not_a_number})},
      {"epsilon", "0", adamw({.epsilon = 0})},
      {"epsilon", "-1e-08", adamw({.epsilon = -1e-8})},
      {"epsilon", "inf", adamw({.epsilon = infinity})},
      {"weight_decay", "-0.01", adamw({.weight_decay = -0.01})},
      {"weight_decay", "nan", adamw({.weight_decay = not_a_number})},
      {"learning_rate", "-1", sgd({.learning_rate = -1})},
      {"learning_rate", "nan", sgd({.learning_rate = not_a_number})},
      {"momentum", "-0.5", sgd({.momentum = -0.5})},
      {"momentum", "2", sgd({.momentum = 2})},
      {"momentum", "nan", sgd({.momentum = not_a_number})},
      {"weight_decay", "inf", sgd({.weight_decay = infinity})},
  });
}

TEST_CASE("a trainer and a run refuse what cannot be honoured, by field, and change nothing") {
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto before = weights_of(model);
  const auto examples = counting_examples(4);
  const auto green = [&](GreenOptions options) {
    return [&model, options] { Trainer(model, options, AdamWOptions{}); };
  };
  const auto chosen = [&](Selection selection) {
    return [&model, selection] { Trainer(model, selection, AdamWOptions{}); };
  };
  const auto fit = [&](FitOptions options) {
    return [&model, &examples, options] {
      Trainer(model, select_all(model.graph()), AdamWOptions{}).fit(examples, options);
    };
  };
  check({
      {"flops_ratio", "0", green({.flops_ratio = 0})},
      {"flops_ratio", "-0.5", green({.flops_ratio = -0.5})},
      {"flops_ratio", "1.5", green({.flops_ratio = 1.5})},
      {"flops_ratio", "nan", green({.flops_ratio = not_a_number})},
      {"phases", "0", green({.phases = {{.flops_ratio = 0}}})},
      {"phases", "nan", green({.phases = {{.flops_ratio = not_a_number}}})},
      {"phases", "2", green({.phases = {{.flops_ratio = 0.5, .steps = 2}}})},
      {"phases", "0.75", green({.phases = {{.flops_ratio = 0.5, .steps = 0.25}, {.flops_ratio = 1, .steps = 0.5}}})},
      {"phases", "1 for 1",
       green({.phases = {{.flops_ratio = 1}}, .importance = "first-order", .importance_step = true})},
      {"importance_batches", "0", green({.importance_batches = 0})},
      {"importance_batches", "-1", green({.importance_batches = -1})},
      {"reselect_every", "0", green({.reselect_every = {.every = 0}})},
      {"reselect_every", "-2", green({.reselect_every = {.every = -2}})},
      {"selection", "none", chosen(select_none(model.graph()))},
      {"selection", "2", chosen(Selection({true, true}))},
      {"epochs", "0", fit({.epochs = 0})},
      {"epochs", "-1", fit({.epochs = -1})},
      {"epochs", "1152921504606846976", fit({.epochs = Extent{1} << 60})},
      {"steps", "-1", fit({.steps = -1})},
      {"batch_size", "0", fit({.batch_size = 0})},
      {"gradient_accumulation", "0", fit({.gradient_accumulation = 0})},
      {"gradient_accumulation", "-4", fit({.gradient_accumulation = -4})},
      {"schedule.warmup_steps", "-1", fit({.schedule = {.warmup_steps = -1}})},
      {"schedule.warmup_steps", "4", fit({.steps = 3, .schedule = {.warmup_steps = 4}})},
      {"memory_limit", "-1", fit({.memory_limit = -1})},
      {"clip_norm", "-1", fit({.clip_norm = -1})},
      {"clip_norm", "nan", fit({.clip_norm = not_a_number})},
      {"evaluation_examples", "-1", fit({.evaluation_examples = -1})},
      {"evaluate_every", "0", fit({.evaluate_every = Interval{.every = 0}})},
      {"keep_best", "none", fit({.keep_best = RunMetric{}})},
      {"keep_best", "loss", fit({.memory_limit = 1 << 30, .evaluate_every = Interval{}, .keep_best = RunMetric{}})},
      {"patience", "-1", fit({.evaluate_every = Interval{}, .keep_best = RunMetric{}, .patience = -1})},
      {"patience", "2", fit({.evaluate_every = Interval{}, .patience = 2})},
      {"budget", "-1", fit({.budget = {.flops = -1}})},
      {"budget", "-0.5", fit({.budget = {.share_of_full = -0.5}})},
      {"budget", "nan", fit({.budget = {.share_of_full = not_a_number}})},
      {"budget", "more than one of them", fit({.budget = {.flops = 1, .share_of_full = 0.5}})},
  });
  CHECK(weights_of(model) == before);
}

TEST_CASE("evaluations, selections, graphs and generation refuse what cannot be honoured, by field") {
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(4);
  const auto evaluation = [&](Extent batch_size) {
    return [&, batch_size] { evaluate(model, examples, {.batch_size = batch_size}); };
  };
  const auto last = [&](std::size_t count) {
    return [&, count] { select_last_layers(model.graph(), model.facts(), count); };
  };
  const auto graph = [](GraphOptions options) { return [options] { check_graph_options(options); }; };
  const auto generation = [](GenerateOptions options) { return [options] { check_options(options, 100); }; };
  check({
      {"batch_size", "0", evaluation(0)},
      {"batch_size", "-8", evaluation(-8)},
      {"count", "0", last(0)},
      {"count", "3", last(3)},
      {"first", "-1", [] { RowRange{.first = -1, .last = 4}.contains(0); }},
      {"last", "3",
       [] {
         std::vector<int> rows(10);
         RowRange{.first = 5, .last = 3}.keep(rows);
       }},
      {"threads", "-1", [] { B(-1); }},
      {"threads", "1000000", [] { B(1'000'000); }},
      {"lora.rank", "0", graph({.lora = LoraOptions{.rank = 0}})},
      {"lora.alpha", "nan", graph({.lora = LoraOptions{.alpha = not_a_number}})},
      {"lora.dropout", "1", graph({.lora = LoraOptions{.dropout = 1}})},
      {"prefix_tokens", "-1", graph({.prefix_tokens = -1})},
      {"dropout", "nan", graph({.dropout = not_a_number})},
      {"max_new_tokens", "0", generation({.max_new_tokens = 0})},
      {"min_new_tokens", "-1", generation({.min_new_tokens = -1})},
      {"repetition_penalty", "0", generation({.repetition_penalty = 0})},
      {"repetition_penalty", "nan", generation({.repetition_penalty = not_a_number})},
      {"no_repeat_ngram_size", "-1", generation({.no_repeat_ngram_size = -1})},
      {"beams", "0", generation({.beams = 0})},
      {"length_penalty", "nan", generation({.length_penalty = not_a_number})},
      {"temperature", "nan", generation({.temperature = not_a_number})},
      {"temperature", "-1", generation({.temperature = -1})},
      {"top_k", "-1", generation({.top_k = -1})},
      {"top_p", "0", generation({.top_p = 0})},
      {"top_p", "nan", generation({.top_p = not_a_number})},
      {"batch_size", "0", generation({.batch_size = 0})},
      {"eos_ids", "100", generation({.eos_ids = {100}})},
  });
}

TEST_CASE("the limits of options themselves are allowed") {
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(4);
  Trainer trainer{model, select_all(model.graph()),
                  AdamWOptions{.learning_rate = 1e-3, .beta1 = 0, .beta2 = 0, .weight_decay = 0}};
  const FitOptions fit{.steps = 3, .schedule = {.warmup_steps = 3}, .clip_norm = infinity};
  const auto report = trainer.fit(examples, fit);
  CHECK(report.steps == 3);
  CHECK(report.history[0].gradient_norm > 0);  // told, and nothing is clipped
  CHECK(B(eigen::ThreadPool::most_threads()).threads() >= 64);
  CHECK(select_last_layers(model.graph(), model.facts(), 2).count() > 0);
}
