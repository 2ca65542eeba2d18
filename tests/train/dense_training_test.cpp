// Networks that are built by hand on rows of numbers, and classifiers on a model's weights, train as any model does:
// selectively, at the FLOPs that are reported, saved and continued to the bit.

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/generate/generate.hpp"
#include "greentrainer/models/classifier.hpp"
#include "greentrainer/models/hand_built.hpp"
#include "greentrainer/train/predict.hpp"
#include "greentrainer/train/trainer.hpp"
#include "greentrainer/train/weights_file.hpp"
#include "support/dense_graphs.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

using B = CountingBackend<EigenBackend<float>>;

Model<B> regression_model(B& backend, std::uint64_t seed = 1) {
  return make_model(backend, regression_graph<B>(5, 16, 2), seed);
}

const FitOptions some_epochs{.epochs = 4, .batch_size = 8};

Trainer<B> green_trainer(Model<B>& model) {
  return {model, GreenOptions{.flops_ratio = 0.7, .reselect_every = {1, Interval::Unit::epochs}, .freeze = {"norm.*"}},
          AdamWOptions{.learning_rate = 1e-2}};
}

Flops reported(const TrainingReport& r) {
  return r.flops.train + r.flops.importance + r.flops.optimizer + r.flops.evaluation;
}

double share_right(Model<B>& model, const std::vector<Example>& examples) {
  const std::vector<Index> classes = predict_classes(model, examples, 5);
  REQUIRE(classes.size() == examples.size());
  std::size_t right = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) right += classes[i] == examples[i].labels.back() ? 1U : 0U;
  return static_cast<double>(right) / static_cast<double>(examples.size());
}

}  // namespace

TEST_CASE("a regression learns within its budget, what is frozen keeps its bits, and FLOPs are reported") {
  B backend(1);
  Model<B> model = regression_model(backend);
  const auto before = weights_of(model);
  const auto examples = regression_rows(40, 5, 2);
  Trainer<B> trainer = green_trainer(model);
  backend.reset();
  const TrainingReport report = trainer.fit(examples, some_epochs);
  CHECK(backend.flops() == reported(report));
  CHECK(backend.memory().peak <= report.memory.peak());
  CHECK(report.ratio() <= 0.7);
  CHECK(report.ratio() > 0.4);
  CHECK(*report.loss_after < 0.5 * *report.loss_before);
  const auto after = weights_of(model);
  bool changed = false;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const bool frozen = model.graph().parameters()[i].name.starts_with("norm.");
    if (frozen) CHECK(after[i] == before[i]);
    changed |= after[i] != before[i];
  }
  CHECK(changed);
}

TEST_CASE("the evaluation of a regression is the mean squared error of what is predicted") {
  B backend(1);
  Model<B> model = regression_model(backend);
  const auto examples = regression_rows(11, 5, 2);
  std::vector<Example> without_targets = examples;
  for (Example& example : without_targets) example.targets.clear();
  const std::vector<float> predictions = predict(model, without_targets, 4);
  REQUIRE(predictions.size() == 22);
  double sum = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const double difference = static_cast<double>(predictions[i]) - static_cast<double>(examples[i / 2].targets[i % 2]);
    sum += difference * difference;
  }
  const Evaluation evaluation = evaluate(model, examples, {.batch_size = 3});
  CHECK(evaluation.loss == doctest::Approx(sum / 22).epsilon(1e-5));
  double of_examples = 0;
  for (const auto& one : evaluation.examples) of_examples += one.loss / 11;
  CHECK(of_examples == doctest::Approx(sum / 22).epsilon(1e-5));
}

TEST_CASE("a run on numbers that is saved and continued is the run that was not, and other numbers are refused") {
  const auto examples = regression_rows(40, 5, 2);
  B backend(1);
  Model<B> whole = regression_model(backend);
  green_trainer(whole).fit(examples, some_epochs);

  TemporaryFolder folder;
  {
    Model<B> model = regression_model(backend);
    Trainer<B> trainer = green_trainer(model);
    trainer.start(examples, some_epochs);
    for (int step = 0; step < 7; ++step) trainer.step();
    trainer.save(folder / "state");
  }
  Model<B> model = regression_model(backend);
  Trainer<B> trainer = green_trainer(model);
  auto others = examples;
  others[3].features[1] += 1;
  trainer.start(others, some_epochs);
  CHECK_THROWS_AS(trainer.load(folder / "state"), StateMismatch);
  trainer.start(examples, some_epochs);
  trainer.load(folder / "state");
  while (trainer.step()) {
  }
  trainer.finish();
  CHECK(weights_of(model) == weights_of(whole));
}

TEST_CASE("values of dense rows below a cut are cached, with the same bits as without a cache") {
  const auto fit = [](PrefixCacheMode mode, Flops& saved) {
    B backend(1);
    Model<B> model = make_model(backend, regression_graph<B>(20, 16, 2), 1);
    Trainer<B> trainer(model, select_listed(model.graph(), {"layer1.*", "output.*"}),
                       AdamWOptions{.learning_rate = 1e-2});
    FitOptions options = some_epochs;
    options.prefix_cache = mode;
    const TrainingReport report = trainer.fit(regression_rows(40, 20, 2), options);
    saved = report.flops.saved_by_cache;
    return weights_of(model);
  };
  Flops none = 0, some = 0;
  CHECK(fit(PrefixCacheMode::off, none) == fit(PrefixCacheMode::memory, some));
  CHECK(none == 0);
  CHECK(some > 0);
}

TEST_CASE("weights are saved by name and loaded with the same bits; a file of another model is refused by tensor") {
  B backend(1);
  Model<B> model = regression_model(backend, 1), other = regression_model(backend, 2);
  TemporaryFolder folder;
  save_weights(model, folder / "model.safetensors");
  CHECK(weights_of(model) != weights_of(other));
  load_weights(other, folder / "model.safetensors");
  CHECK(weights_of(model) == weights_of(other));

  const auto refused = [&](TensorGraph<B> graph, const char* message) {
    Model<B> wrong = make_model(backend, std::move(graph), 1);
    const auto before = weights_of(wrong);
    CHECK_THROWS_WITH_AS(load_weights(wrong, folder / "model.safetensors"), doctest::Contains(message), LoadError);
    CHECK(weights_of(wrong) == before);
  };
  refused(regression_graph<B>(5, 16, 3), "output.bias: expected shape");
  Model<B> same_names = make_model(backend, dense_classes_graph<B>(5, 16, 2), 3);
  load_weights(same_names, folder / "model.safetensors");  // names and shapes decide
  CHECK(weights_of(same_names) == weights_of(model));
}

TEST_CASE("first values are a function of seed and name: He's for layers, 1 for norms, 0 for biases") {
  B backend(1);
  Model<B> model = regression_model(backend, 1), again = regression_model(backend, 1),
           other = regression_model(backend, 2);
  CHECK(weights_of(model) == weights_of(again));
  CHECK(weights_of(model) != weights_of(other));
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const Parameter& p = model.graph().parameter(id);
    CAPTURE(p.name);
    const std::vector<float> values = model.parameters()[id].download();
    if (p.name.ends_with(".bias")) CHECK(std::ranges::all_of(values, [](float v) { return v == 0; }));
    if (p.name == "norm.weight") CHECK(std::ranges::all_of(values, [](float v) { return v == 1; }));
    if (p.name != "layer1.weight") continue;
    double squares = 0;
    for (const float v : values) squares += static_cast<double>(v) * static_cast<double>(v);
    CHECK(squares / 256 == doctest::Approx(2.0 / 16).epsilon(0.3));
  }
}

TEST_CASE("a classifier has a model's weights and learns classes of labelled rows or of means") {
  B backend(2);
  for (const Pooling pooling : {Pooling::labelled_rows, Pooling::mean}) {
    CAPTURE(static_cast<int>(pooling));
    Model<B> language = tiny_model(backend, "llama-mha-untied");
    Model<B> model = make_classifier(language, {.classes = 3, .pooling = pooling}, 4);
    CHECK_FALSE(model.graph().find("lm_head.weight"));
    for (ParameterId id = 0; id + 1 < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      const auto from = language.graph().find(model.graph().parameter(id).name);
      REQUIRE(from);
      CHECK(model.parameters()[id].download() == language.parameters()[*from].download());
    }
    const auto examples = class_sequences(60, 40, 3, false);
    CHECK(share_right(model, examples) < 0.7);
    Trainer<B> trainer(model, GreenOptions{.flops_ratio = 0.8}, AdamWOptions{.learning_rate = 1e-2});
    backend.reset();
    const TrainingReport report = trainer.fit(examples, {.epochs = 8, .batch_size = 6});
    CHECK(backend.flops() == reported(report));
    CHECK(share_right(model, examples) > 0.9);
  }
}

TEST_CASE("an encoder alone classifies by the mean of its rows") {
  B backend(2);
  Model<B> t5 = tiny_model(backend, "t5-tied-gated");
  Model<B> model = make_classifier(t5, {.classes = 3, .pooling = Pooling::mean, .at = "encoder.final_layer_norm"}, 4);
  CHECK(model.graph().find("shared.weight"));
  CHECK_FALSE(model.graph().find("decoder.final_layer_norm.weight"));
  CHECK(std::ranges::none_of(model.facts().layer_prefixes,
                             [](const std::string& prefix) { return prefix.starts_with("decoder."); }));
  const auto examples = class_sequences(60, 40, 3, true);
  Trainer<B> trainer(model, GreenOptions{.flops_ratio = 0.8}, AdamWOptions{.learning_rate = 1e-2});
  backend.reset();
  const TrainingReport report = trainer.fit(examples, {.epochs = 8, .batch_size = 6});
  CHECK(backend.flops() == reported(report));
  CHECK(share_right(model, examples) > 0.9);
}

TEST_CASE("what a model on numbers or classes cannot read is refused by name") {
  B backend(1);
  Model<B> model = regression_model(backend);
  const auto refused = [](Model<B>& by, std::vector<Example> examples, const char* message) {
    CAPTURE(message);
    CHECK_THROWS_WITH_AS(evaluate(by, examples), doctest::Contains(message), DataError);
  };
  refused(model, {regression_example({1, 2, 3, 4}, {1, 2})}, "features: expected 5 for each of 1 rows, got 4");
  refused(model, {regression_example({1, 2, 3, 4, 5}, {1})}, "targets: expected 2 for each of 1 rows, got 1");
  refused(model, {regression_example({1, 2, 3, 4, 5}, {1, NAN})}, "targets: expected finite numbers, got nan");
  refused(model, {regression_example({1, 2, 3, 4, 5}, {1, 2}), regression_example({1, 2, 3, 4}, {1, 2})},
          "example 1: expected as many features a row as the batch's other rows have, 5, got 4");
  refused(model, {{.input_ids = {0, 0}, .labels = {0, 0}, .features = {1, 2, 3}}},
          "example 0: expected equally many features for each of 2 rows, got 3");
  refused(model, {class_example({0}, 0)}, "features: expected 5");
  refused(model, {{.input_ids = {0, 0}, .labels = {0, 0}, .shifts_labels = false, .targets = {1}}},
          "example 0: expected equally many targets for each of 2 rows with a label, got 1");

  Model<B> language = tiny_model(backend, "llama-gqa-tied");
  refused(language, {regression_example({1}, {1})}, "features: expected 0 for each of 1 rows, got 1");
  Model<B> classes = make_classifier(language, {.classes = 3, .pooling = Pooling::mean});
  refused(classes, {class_example({5, 6}, 3)}, "label: expected 0 to 2, got 3");
  refused(classes, {{.input_ids = {5, 6}, .labels = {1, 1}, .shifts_labels = false}},
          "sequence 0: expected one labelled row");

  CHECK_THROWS_WITH_AS(make_classifier(language, {.classes = 1}), doctest::Contains("classes: expected at least 2"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(make_classifier(language, {.at = "nothing"}), doctest::Contains("got nothing"), ConfigError);
  Model<B> t5 = tiny_model(backend, "t5-tied-gated");
  CHECK_THROWS_WITH_AS(make_classifier(t5, {.at = "encoder.final_layer_norm"}),
                       doctest::Contains("pooling: expected mean for encoder.final_layer_norm"), ConfigError);
  CHECK_THROWS_WITH_AS(Generator<B>(classes, {}),
                       doctest::Contains("expected one whose head predicts tokens, got one that predicts 3 classes"),
                       ConfigError);
  TensorGraph<B> two;
  BlockBuilder<B> b(two);
  b.dense_input("a", 3);
  b.dense_input("b", 4);
  CHECK_THROWS_WITH_AS(batch_numbers(two), doctest::Contains("b: expected the width of the graph's other dense input"),
                       ConfigError);
}
