// Estimated memory is the memory that the backend is asked for, to the byte but for what a batch's indices and a few
// sums take.

#include "greentrainer/cost/memory_estimate.hpp"

#include <utility>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/adapters.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;

namespace {

using Counting = CountingBackend<EigenBackend<float>>;

std::vector<Example> examples(Extent vocabulary, Extent count) {
  CounterRandom random(1, "examples");
  std::vector<Example> all;
  for (Extent i = 0; i < count; ++i) {
    Example example;
    for (int t = 0; t < 12; ++t)
      example.input_ids.push_back(static_cast<Index>(random.below(static_cast<std::uint32_t>(vocabulary))));
    example.labels = example.input_ids;
    all.push_back(std::move(example));
  }
  return all;
}

/// What a batch of these examples brings beside activations: ids, positions and offsets of all tokens and of labelled
/// ones, rows and labels, and sums in double, one for each tensor.
Bytes beside(const std::vector<Example>& batch, std::size_t tensors = 0) {
  Bytes tokens = 0;
  for (const Example& example : batch) tokens += static_cast<Bytes>(example.input_ids.size());
  return 4 * (6 * tokens + 2 * static_cast<Bytes>(batch.size()) + 3) + 8 * (8 + static_cast<Bytes>(tensors));
}

template <class Check>
void with_model(const std::string& name, Check check) {
  const auto config = ConfigReader::from_file(testing::source_folder() / "tests/golden/models" / name / "config.json");
  KnownArchitectures::read(config, [&](const auto& architecture) {
    Counting backend(2);
    Model<Counting> model(backend, architecture.template graph<Counting>(), facts_of(architecture));
    testing::randomize(model, 3);
    check(backend, model);
    return 0;
  });
}

void check_close(Bytes measured, Bytes estimated, Bytes beside) {
  CHECK(measured >= estimated);
  CHECK(measured <= estimated + beside);
}

}  // namespace

TEST_CASE("training: weights, gradients and state of the selection, activations and workspace are all there is") {
  for (const std::string name : {"opt-pre", "opt-post", "llama-gqa-tied"}) {
    with_model(name, [&](Counting& backend, Model<Counting>& model) {
      const auto data = examples(model.facts().vocabulary, 4);
      const Workload workload = workload_of(collate(data, std::vector<std::size_t>{0, 1, 2, 3}));
      for (const std::vector<std::string>& tensors :
           std::vector<std::vector<std::string>>{{"*"}, {"*layers.1*"}, {"*norm*"}, {"*embed_tokens*"}}) {
        CAPTURE(name);
        CAPTURE(tensors.front());
        const Selection selection = select_listed(model.graph(), tensors);
        Trainer<Counting> trainer(model, selection, AdamWOptions{.learning_rate = 1e-4});
        model.executor().release_memory();  // of the selection before
        backend.reset();
        trainer.fit(data, {.steps = 3, .batch_size = 4, .evaluate = Evaluations::none});
        const MemoryEstimate estimate =
            training_memory(model.graph(), selection, workload, sizeof(float), 2 * sizeof(float));
        CHECK(estimate.gradients == trainer.gradient_bytes());
        check_close(backend.memory().peak, estimate.total(), beside(data));
      }
    });
  }
}

TEST_CASE("importance: one full backward pass, a copy of the weights, and no gradient longer than it is needed") {
  for (const std::string importance : {"paper", "first-order", "gradient-norm"}) {
    with_model("llama-mha-untied", [&](Counting& backend, Model<Counting>& model) {
      CAPTURE(importance);
      const auto data = examples(model.facts().vocabulary, 4);
      const Workload workload = workload_of(collate(data, std::vector<std::size_t>{0, 1, 2, 3}));
      Trainer<Counting> trainer(model, GreenOptions{.flops_ratio = 0.6, .importance = importance},
                                AdamWOptions{.learning_rate = 1e-4});
      backend.reset();
      trainer.fit(data, {.steps = 1, .batch_size = 4, .evaluate = Evaluations::none});
      const auto metric = make_importance<Counting>(importance);
      const Extent elements =
          TransientGradients<Counting>::elements(model.graph()) + metric->scratch_elements(model.graph());
      const Bytes evaluating = importance_memory(model.graph(), select_none(model.graph()), workload, sizeof(float),
                                                 2 * sizeof(float), elements, metric->saves_weights())
                                   .total();
      const Bytes training =
          training_memory(model.graph(), trainer.selection(), workload, sizeof(float), 2 * sizeof(float)).total();
      check_close(backend.memory().peak, std::max(evaluating, training),
                  beside(data, model.graph().parameters().size()));
    });
  }
}

TEST_CASE("a step that trains everything holds all gradients, and optimizer state of nothing it did not have before") {
  for (const std::string name : {"llama-mha-untied", "opt-pre"}) {
    with_model(name, [&](Counting& backend, Model<Counting>& model) {
      CAPTURE(name);
      const auto data = examples(model.facts().vocabulary, 4);
      const Workload workload = workload_of(collate(data, std::vector<std::size_t>{0, 1, 2, 3}));
      Trainer<Counting> trainer(model,
                                GreenOptions{.flops_ratio = 0.7,
                                             .importance = "first-order",
                                             .importance_step = true,
                                             .reselect_every = {5, Interval::Unit::steps}},
                                AdamWOptions{.learning_rate = 1e-4});
      model.executor().release_memory();
      backend.reset();
      trainer.fit(data, {.steps = 5, .batch_size = 4, .evaluate = Evaluations::none});
      const auto metric = make_importance<Counting>("first-order");
      const Bytes in_full = importance_step_memory(model.graph(), select_none(model.graph()), workload, sizeof(float),
                                                   2 * sizeof(float), metric->scratch_elements(model.graph()))
                                .total();
      const Bytes training =
          training_memory(model.graph(), trainer.selection(), workload, sizeof(float), 2 * sizeof(float)).total();
      check_close(backend.memory().peak, std::max(in_full, training), beside(data, model.graph().parameters().size()));
    });
  }
}

TEST_CASE("with exact sums a pass has one example, and importances are taken from whole batches all the same") {
  for (const bool chooses : {false, true}) {
    with_model("llama-mha-untied", [&](Counting& backend, Model<Counting>& model) {
      CAPTURE(chooses);
      const auto data = examples(model.facts().vocabulary, 4);
      const AdamWOptions adamw{.learning_rate = 1e-4};
      Trainer<Counting> trainer = chooses ? Trainer<Counting>(model, GreenOptions{.importance = "gradient-norm"}, adamw)
                                          : Trainer<Counting>(model, select_all(model.graph()), adamw);
      backend.reset();
      const TrainingReport report = trainer.fit(
          data, {.steps = 2, .batch_size = 4, .gradient_sums = GradientSums::exact, .evaluate = Evaluations::none});
      const Workload one = workload_of(collate(data, std::vector<std::size_t>{0}));
      const Bytes training =
          training_memory(model.graph(), trainer.selection(), one, sizeof(float), 2 * sizeof(float)).total();
      CHECK(report.memory.exact_sums == ExactGradients<Counting>::bytes_for(model.graph(), trainer.selection()));
      check_close(report.memory.training, training, beside(data, model.graph().parameters().size()));
      const Bytes planned = report.memory.peak() - report.memory.exact_sums;  // which the host's memory has
      check_close(planned, backend.memory().peak, beside(data, model.graph().parameters().size()));
    });
  }
}

TEST_CASE("what a metric takes is known without it, for weights in a storage format, too") {
  with_model("llama-gqa-tied", [](Counting&, Model<Counting>& model) {
    TensorGraph<Counting> stored = model.graph();
    store_weights(stored, *find_storage_format("BF16"));
    for (const TensorGraph<Counting>* graph : {&model.graph(), &std::as_const(stored)}) {
      for (const char* name : importance_names) {
        CAPTURE(name);
        const auto metric = make_importance<Counting>(name);
        const ImportanceDemand demand = importance_demand_of<Counting>(name, *graph);
        const Extent gradients = metric->full_passes() > 0 ? TransientGradients<Counting>::elements(*graph) : 0;
        CHECK(demand.full_passes == metric->full_passes());
        CHECK(demand.saves_weights == metric->saves_weights());
        CHECK(demand.gradient_elements == gradients + metric->scratch_elements(*graph));
      }
    }
    CHECK_THROWS_WITH_AS(importance_demand_of<Counting>("papper", stored), doctest::Contains("paper"), UsageError);
  });
}

TEST_CASE("kernels that decode weights keep room for it, which is planned where weights are stored alone") {
  using Eigen = EigenBackend<float>;
  Eigen backend(1);
  const TensorGraph<Eigen> plain = testing::tiny_model(backend, "llama-gqa-tied").graph();
  TensorGraph<Eigen> stored = plain;
  store_weights(stored, *find_storage_format("BF16"));
  CHECK(kernel_scratch_bytes(plain) == Eigen::most_scratch_bytes());
  CHECK(kernel_scratch_bytes(stored) == Eigen::most_scratch_bytes() + Eigen::most_decoding_bytes());
}
