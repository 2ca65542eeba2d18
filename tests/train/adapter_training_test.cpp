// Adapters are trained as anything else: alone, or as candidates under the FLOPs budget of the model without them;
// dropout is part of training alone.

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/paths.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::weights_of;

namespace {

template <Backend B>
PretrainedModel<B> golden_model(B& backend, const std::string& name, const GraphOptions& options) {
  return load_pretrained(testing::source_folder() / "tests/golden/models" / name, backend, options, 1);
}

const FitOptions two_epochs{.epochs = 2, .batch_size = 4};

}  // namespace

TEST_CASE(
    "LoRA and prefixes learn, move nothing else, and cost what is executed, as a share of the plain model's full "
    "fine-tuning") {
  using B = CountingBackend<EigenBackend<float>>;
  const auto examples = counting_examples(24);
  for (const char* name : {"opt-pre", "llama-gqa-tied", "bloom"}) {
    CAPTURE(name);
    B backend(2);
    auto plain = golden_model(backend, name, {});
    Trainer full{plain, select_all(plain.graph()), AdamWOptions{}};
    const auto of_full = full.fit(examples, two_epochs);
    CHECK(of_full.ratio() == 1);

    for (const GraphOptions& options : {GraphOptions{.lora = LoraOptions{.rank = 4, .alpha = 16, .dropout = 0.1}},
                                        GraphOptions{.prefix_tokens = 5}}) {
      CAPTURE(options.prefix_tokens);
      auto model = golden_model(backend, name, options);
      const auto before = weights_of(model);
      const Selection adapters = select_adapters(model.graph());
      Trainer trainer{model, adapters, AdamWOptions{.learning_rate = 1e-2}};
      backend.reset();
      const auto report = trainer.fit(examples, two_epochs);
      CHECK(backend.flops() == report.flops.train + report.flops.optimizer + report.flops.evaluation);
      CHECK(report.loss_after < report.loss_before);
      CHECK(report.flops.full == of_full.flops.full);
      CHECK(report.ratio() < 1);
      CHECK(report.ratio() > 0.33);
      const auto after = weights_of(model);
      for (ParameterId id = 0; id < static_cast<ParameterId>(before.size()); ++id) {
        CAPTURE(model.graph().parameter(id).name);
        CHECK((before[static_cast<std::size_t>(id)] == after[static_cast<std::size_t>(id)]) == !adapters.contains(id));
      }
    }
  }
}

TEST_CASE("LoRA's matrices are candidates beside the model's tensors, under the budget of the model alone") {
  const auto examples = counting_examples(24);
  EigenBackend<float> backend(2);
  auto model = golden_model(backend, "llama-gqa-tied", {.lora = LoraOptions{.rank = 4}});
  Trainer trainer{model, GreenOptions{.flops_ratio = 0.65, .reselect_every = {3, Interval::Unit::steps}},
                  AdamWOptions{.learning_rate = 3e-3}};
  const auto report = trainer.fit(examples, two_epochs);
  CHECK(report.ratio() <= 0.65);
  CHECK(report.loss_after < report.loss_before);
  bool adapter_chosen = false, other_chosen = false;
  for (const auto& selection : report.selections) {
    CHECK(selection.cost <= selection.budget);
    CHECK(selection.importance.size() == model.graph().parameters().size());
    for (const std::string& name : selection.names)
      (name.find("lora_") == name.npos ? other_chosen : adapter_chosen) = true;
  }
  CHECK(adapter_chosen);
  CHECK(other_chosen);
}

TEST_CASE("LoRA's matrices of a layer are chosen together, though A has no gradient while B is zero") {
  using Counting = CountingBackend<EigenBackend<float>>;
  const auto examples = counting_examples(16);
  const LoraOptions everywhere{.rank = 2, .targets = {"all-linear"}};
  std::size_t unlimited = 0, limited = 0;                 // tensors
  for (const Bytes limit : {Bytes{0}, Bytes{1} << 30}) {  // with room for everything
    for (const Sampling sampling : {Sampling::off, Sampling::importance}) {
      CAPTURE(limit);
      Counting backend(1);
      auto model = golden_model(backend, "llama-gqa-tied", {.lora = everywhere});
      Trainer trainer{model,
                      GreenOptions{.flops_ratio = 0.7,
                                   .importance = "gradient-norm",
                                   .sampling = sampling,
                                   .reselect_every = {2, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 1e-3}};
      backend.reset();
      const auto report =
          trainer.fit(examples, {.epochs = 2, .batch_size = 4, .memory_limit = limit, .evaluate = Evaluations::none});
      CHECK(backend.flops() == report.spent());
      CHECK(report.ratio() <= 0.7);
      int pairs = 0;
      for (const auto& selection : report.selections) {
        CHECK(selection.cost <= selection.budget);
        (limit == 0 ? unlimited : limited) += selection.names.size();
        for (const auto& [name, importance] : selection.importance) {
          const auto at = name.find(".lora_A.");
          if (at == name.npos) continue;
          std::string b = name;
          b.replace(at, 8, ".lora_B.");
          const auto chosen = [&](const std::string& one) {
            return std::find(selection.names.begin(), selection.names.end(), one) != selection.names.end();
          };
          CAPTURE(name);
          CHECK(chosen(name) == chosen(b));
          pairs += chosen(b) ? 1 : 0;
          if (selection.step > 0) continue;
          CHECK(importance == 0);
          CHECK(selection.importance.at(b) > 0);
        }
      }
      CHECK(pairs > 0);
    }
  }
  CHECK(limited == unlimited);
}

TEST_CASE("with one of a layer's matrices frozen, the other is a candidate by itself") {
  EigenBackend<float> backend(1);
  auto model = golden_model(backend, "llama-gqa-tied", {.lora = LoraOptions{.rank = 2}});
  Trainer trainer{model, GreenOptions{.flops_ratio = 0.7, .importance = "gradient-norm", .freeze = {"*.lora_A.*"}},
                  AdamWOptions{.learning_rate = 1e-3}};
  const auto report = trainer.fit(counting_examples(8), {.steps = 1, .evaluate = Evaluations::none});
  bool b = false;
  for (const std::string& name : report.selections[0].names) {
    CHECK(name.find(".lora_A.") == name.npos);
    b = b || name.find(".lora_B.") != name.npos;
  }
  CHECK(b);
}

TEST_CASE("a rate factor moves adapters so much faster, and importance counts it where it follows the update") {
  const auto examples = counting_examples(8);
  const auto run = [&](double factor, const char* importance, std::vector<std::vector<double>>& moved) {
    EigenBackend<double> backend(1);
    auto model = golden_model(backend, "llama-gqa-tied", {.lora = LoraOptions{.rank = 2}});
    const auto before = weights_of(model);
    Trainer trainer{model, GreenOptions{.flops_ratio = 0.7, .importance = importance},
                    AdamWOptions{.learning_rate = 1e-3,
                                 .weight_decay = 0,
                                 .rate_factor = {.of = select_adapters(model.graph()), .factor = factor}}};
    const auto report = trainer.fit(examples, {.steps = 1, .evaluate = Evaluations::none});
    moved = weights_of(model);
    for (std::size_t i = 0; i < moved.size(); ++i)
      for (std::size_t k = 0; k < moved[i].size(); ++k) moved[i][k] -= before[i][k];
    std::vector<double> all;
    for (const Parameter& p : model.graph().parameters()) all.push_back(report.selections[0].importance.at(p.name));
    return all;
  };
  std::vector<std::vector<double>> slow, fast;
  EigenBackend<double> backend(1);
  const auto model = golden_model(backend, "llama-gqa-tied", {.lora = LoraOptions{.rank = 2}});
  for (const char* importance : {"first-order", "gradient-norm"}) {
    CAPTURE(importance);
    const double counted = std::string(importance) == "first-order" ? 10 : 1;
    const auto one = run(1, importance, slow), ten = run(10, importance, fast);
    int faster = 0, others = 0;
    for (std::size_t i = 0; i < one.size(); ++i) {
      const Parameter& p = model.graph().parameters()[i];
      CAPTURE(p.name);
      CHECK(ten[i] == doctest::Approx((p.is_adapter() ? counted : 1) * one[i]).epsilon(1e-9));
      for (std::size_t k = 0; k < slow[i].size(); ++k) {
        if (slow[i][k] == 0 || fast[i][k] == 0) continue;  // not chosen by both
        CHECK(fast[i][k] == doctest::Approx((p.is_adapter() ? 10 : 1) * slow[i][k]).epsilon(1e-6));
        ++(p.is_adapter() ? faster : others);
      }
    }
    CHECK(faster > 0);
    CHECK(others > 0);
  }
}

TEST_CASE("dropout changes training and nothing else, and is the same for a seed whatever the number of threads") {
  const auto examples = counting_examples(12);
  const auto run = [&](double dropout, int threads, std::uint64_t seed, TrainingReport& report) {
    EigenBackend<float> backend(threads);
    auto model =
        golden_model(backend, "opt-pre", {.lora = LoraOptions{.rank = 4, .dropout = dropout}, .dropout = dropout});
    Trainer trainer{model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3}};
    report = trainer.fit(examples,
                         {.epochs = 2, .batch_size = 3, .gradient_accumulation = 2, .shuffle = false, .seed = seed});
    return weights_of(model);
  };
  TrainingReport without, with, again, other;
  const auto plain = run(0, 2, 1, without), dropped = run(0.2, 2, 1, with);
  CHECK(dropped != plain);
  CHECK(with.loss_before == without.loss_before);          // an evaluation drops nothing
  CHECK(with.history[0].loss != without.history[0].loss);  // the first step, from the same weights
  CHECK(run(0.2, 5, 1, again) == dropped);
  CHECK(run(0.2, 2, 2, other) != dropped);  // masks alone differ: the order is the file's
}

TEST_CASE("importance drops nothing: both of its passes see the same model") {
  const auto examples = counting_examples(8);
  const auto first_importance = [&](double dropout) {
    EigenBackend<float> backend(2);
    auto model = golden_model(backend, "llama-mha-untied", {.dropout = dropout});
    Trainer trainer{model, GreenOptions{.flops_ratio = 0.6}, AdamWOptions{.learning_rate = 1e-3}};
    return trainer.fit(examples, {.steps = 1}).selections.front().importance;
  };
  CHECK(first_importance(0.3) == first_importance(0));
}
