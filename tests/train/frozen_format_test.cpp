// Training a model whose weights are stored in a format until they are trained.
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/stored_model.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

namespace greentrainer::testing {
namespace {

using B = EigenBackend<float>;

/// Llama with weights in bfloat16: stored so, and as floats.
struct LlamaModels : StoredAndDecodedModels<B> {
  explicit LlamaModels(B& backend) : LlamaModels(backend, tiny_model(backend, "llama-gqa-tied")) {}
  LlamaModels(B& backend, const Model<B>& model)
      : StoredAndDecodedModels<B>(backend, model.graph(), model.facts(), *find_storage_format("BF16")) {}
};

std::vector<std::vector<float>> values_of(Model<B>& model) {
  std::vector<std::vector<float>> all;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
    all.push_back(model.parameters().values(id));
  return all;
}

FitOptions fit_options() {
  return {.epochs = 1, .steps = 8, .batch_size = 3, .evaluate = Evaluations::none, .evaluation_examples = 0};
}
GreenOptions green(const char* importance) {
  return {.flops_ratio = 0.5, .importance = importance, .reselect_every = {.every = 3, .unit = Interval::Unit::steps}};
}

TEST_CASE("A run over stored weights is that over their numbers, bit for bit, and chooses the same tensors") {
  B backend(2);
  for (const char* importance : {"first-order", "gradient-norm", "relative-gradient-norm", "magnitude"}) {
    CAPTURE(importance);
    LlamaModels models(backend);
    const std::vector<Example> examples = counting_examples(20);
    Trainer<B> stored(models.stored, green(importance), AdamWOptions{.learning_rate = 1e-2});
    Trainer<B> decoded(models.decoded, green(importance), AdamWOptions{.learning_rate = 1e-2});
    const TrainingReport report = stored.fit(examples, fit_options()), expected = decoded.fit(examples, fit_options());
    REQUIRE(report.history.size() == expected.history.size());
    for (std::size_t i = 0; i < report.history.size(); ++i) CHECK(report.history[i].loss == expected.history[i].loss);
    REQUIRE(report.selections.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(report.selections[i].names == expected.selections[i].names);
    CHECK(values_of(models.stored) == values_of(models.decoded));
  }
}

TEST_CASE("What was ever trained has elements, the rest stays stored, and memory is counted so") {
  B backend(1);
  LlamaModels models(backend);
  const auto& graph = models.stored.graph();
  Trainer<B> trainer(models.stored, green("first-order"), AdamWOptions{.learning_rate = 1e-2});
  const TrainingReport report = trainer.fit(counting_examples(20), fit_options());
  Selection trained = select_none(graph);
  for (const SelectionRecord& record : report.selections) {
    for (const std::string& name : record.names) trained.insert(*graph.find(name));
    CHECK(record.memory.weights == weight_bytes(graph, trained, sizeof(float)));
  }
  std::size_t still_stored = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    CHECK(models.stored.parameters().is_stored(id) == (graph.parameter(id).format != nullptr && !trained.contains(id)));
    still_stored += models.stored.parameters().is_stored(id) ? 1 : 0;
  }
  CHECK(still_stored > 0);
  CHECK(models.stored.parameters().bytes() == weight_bytes(graph, trained, sizeof(float)));
}

TEST_CASE("The tensor that a metric of weights alone decodes is counted") {
  B backend(1);
  LlamaModels models(backend);
  Trainer<B> trainer(models.stored, green("magnitude"), AdamWOptions{.learning_rate = 1e-2});
  const TrainingReport report = trainer.fit(counting_examples(20), fit_options());
  const Bytes decoded = ReadableElements<B>::elements(models.stored.graph()) * static_cast<Bytes>(sizeof(float));
  CHECK(decoded > 0);
  for (const SelectionRecord& record : report.selections) CHECK(record.importance_memory.gradients == decoded);
}

TEST_CASE("A run over stored weights that is stopped goes on as if it had not been") {
  B backend(1);
  const std::vector<Example> examples = counting_examples(20);
  const auto make = [&](Model<B>& model) {
    return Trainer<B>(model, green("first-order"), AdamWOptions{.learning_rate = 1e-2});
  };
  LlamaModels whole(backend), first(backend), second(backend);
  auto undisturbed = make(whole.stored);
  undisturbed.fit(examples, fit_options());
  const TemporaryFolder folder;
  auto stopped = make(first.stored);
  stopped.start(examples, fit_options());
  for (int step = 0; step < 5; ++step) REQUIRE(stopped.step());
  stopped.save(folder.path() / "state");
  auto resumed = make(second.stored);
  resumed.start(examples, fit_options());
  resumed.load(folder.path() / "state");
  while (resumed.step()) {
  }
  resumed.finish();
  CHECK(values_of(second.stored) == values_of(whole.stored));
}

TEST_CASE("A metric that moves all weights refuses stored ones, and says which do not") {
  B backend(1);
  LlamaModels models(backend);
  Trainer<B> trainer(models.stored, green("paper"), AdamWOptions{});
  CHECK_THROWS_WITH_AS(trainer.fit(counting_examples(20), fit_options()), doctest::Contains("take first-order"),
                       ConfigError);
}

}  // namespace
}  // namespace greentrainer::testing
