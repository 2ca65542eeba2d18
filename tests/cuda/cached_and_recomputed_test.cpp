// A cached prefix and recomputation on CUDA: the plain run's losses and weights, within what shapes of products change.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "greentrainer/backends/counting.hpp"
#include "greentrainer/graph/recomputation.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

namespace greentrainer::testing {
namespace {

using Cuda = CountingBackend<FirstDevice<float>>;
using Weights = std::vector<std::vector<float>>;

const std::vector<std::string> names = {"opt-pre", "llama-gqa-tied", "bloom", "t5-tied-relu"};

std::vector<Example> examples_for(const Model<Cuda>& model, std::size_t count) {
  std::vector<Example> examples = counting_examples(count);
  for (std::size_t i = 0; model.facts().target_shift && i < examples.size(); ++i)
    examples[i].source_ids.assign(3 + i % 4, static_cast<Index>(i % 90));
  return examples;
}

struct Outcome {
  TrainingReport report;
  Weights weights;
  Flops counted = 0;
};

/// 20 steps of the last layer, with an optimizer that does not make rounding noise of a gradient of zero a step.
Outcome train(const std::string& name, PrefixCacheMode cache) {
  Cuda backend;
  auto model = tiny_model(backend, name);
  const auto examples = examples_for(model, 6);
  Trainer<Cuda> trainer(model, select_last_layers(model.graph(), model.facts(), 1), SgdOptions{.learning_rate = 0.02});
  backend.reset();
  Outcome outcome;
  outcome.report =
      trainer.fit(examples, {.steps = 20, .batch_size = 2, .prefix_cache = cache, .evaluate = Evaluations::none});
  outcome.counted = backend.flops();
  outcome.weights = weights_of(model);
  return outcome;
}

}  // namespace

TEST_CASE(
    "A cached prefix on CUDA has the losses and weights of the run without it, within the tolerance of training") {
  for (const std::string& name : names) {
    CAPTURE(name);
    const Outcome plain = train(name, PrefixCacheMode::off), cached = train(name, PrefixCacheMode::memory);
    REQUIRE(cached.report.history.size() == 20);
    for (std::size_t s = 0; s < 20; ++s) {
      CAPTURE(s);
      CHECK(std::abs(cached.report.history[s].loss - plain.report.history[s].loss) < 1e-5);
    }
    const auto largest_difference = [](const Weights& a, const Weights& b) {
      double largest = 0;
      for (std::size_t p = 0; p < a.size(); ++p) {
        for (std::size_t i = 0; i < a[p].size(); ++i)
          largest = std::max(largest, static_cast<double>(std::abs(a[p][i] - b[p][i])));
      }
      return largest;
    };
    Cuda backend;
    CHECK(largest_difference(cached.weights, plain.weights) < 1e-5);
    CHECK(largest_difference(plain.weights, weights_of(tiny_model(backend, name))) > 1e-3);  // they moved
    CHECK(cached.report.flops.saved_by_cache > 0);
    CHECK(cached.report.flops.train + cached.report.flops.saved_by_cache == plain.report.flops.train);
    CHECK(cached.counted == cached.report.flops.train + cached.report.flops.optimizer);
  }
}

TEST_CASE(
    "Recomputation on CUDA has the gradients of the pass without it, to the bit: the same kernels, the same shapes") {
  for (const std::string& name : names) {
    CAPTURE(name);
    Cuda backend;
    auto model = tiny_model(backend, name);
    const auto examples = examples_for(model, 3);
    const Batch batch = collate(examples, std::vector<std::size_t>{0, 1, 2});
    const Selection all = select_all(model.graph());
    const PassPlan plain = training_plan(model.graph(), all);
    std::vector<OperatorId> cuts;
    for (const Cut& cut : narrow_cuts(model.graph())) cuts.push_back(cut.op);
    const PassPlan dropped = with_recomputation(model.graph(), plain, segments_between(cuts));
    CHECK(dropped.steps.size() > plain.steps.size());
    const auto gradients_of = [&](const PassPlan& plan) {
      GradientStore<Cuda> gradients(backend);
      gradients.select(model.graph(), all);
      gradients.zero();
      const double loss = model.executor().run(make_schedule(model.graph(), plan), batch, {.gradients = &gradients});
      Weights values = {{static_cast<float>(loss)}};
      for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
        values.push_back(gradients[id].download());
      return values;
    };
    CHECK(gradients_of(dropped) == gradients_of(plain));
  }
}

}  // namespace greentrainer::testing
