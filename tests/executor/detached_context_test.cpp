// Gradients that do not go through tokens without a label: losses stay, gradients are PyTorch's.

#include "greentrainer/models/detached_context.hpp"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "executor/labelled_passes.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_model.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// The decoder-only models, and their adapters.
std::vector<ModelVariant> decoders() {
  std::vector<ModelVariant> all;
  auto variants = model_variants();
  variants.push_back({"../architectures/phi3_longrope"});
  for (ModelVariant variant : variants) {
    if (variant.model.starts_with("t5")) continue;
    variant.options.dropout = 0;  // masks are others where rows are others
    if (variant.options.lora) variant.options.lora->dropout = 0;
    all.push_back(variant);
  }
  return all;
}

Model<Double> model_of(Double& backend, const ModelVariant& variant) {
  const auto folder = source_folder() / "tests/golden/models" / variant.model;
  return KnownArchitectures::read(ConfigReader::from_file(folder / "config.json"), [&](const auto& architecture) {
    Model<Double> model(backend, architecture.template graph<Double>(variant.options), facts_of(architecture));
    randomize(model, 7);
    return model;
  });
}

}  // namespace

constexpr std::array modes = {ContextGradients::none, ContextGradients::keys};

TEST_CASE("gradients are those of PyTorch with the context's keys and values detached, or what they are made from") {
  EigenBackend<double> backend(2);
  for (const auto& [name, left] : {std::pair<std::string, ContextGradients>{"llama-gqa-tied", ContextGradients::none},
                                   {"llama-gqa-tied", ContextGradients::keys},
                                   {"opt-post", ContextGradients::none},
                                   {"opt-post", ContextGradients::keys},
                                   {"bloom", ContextGradients::none},
                                   {"bloom", ContextGradients::keys}}) {
    CAPTURE(name);
    CAPTURE(static_cast<int>(left));
    const GoldenModel golden(name);
    const SafetensorsFile expected(
        golden.folder / (left == ContextGradients::keys ? "detached_below_keys.safetensors" : "detached.safetensors"));
    auto model = load_pretrained(golden.folder, backend);
    auto detached = with_detached_context(model, left);
    const Batch batch = collate(golden.examples, std::vector<std::size_t>{0, 1, 2});
    GradientStore<EigenBackend<double>> gradients(backend);
    const Selection all = select_all(detached.graph());
    gradients.select(detached.graph(), all);
    gradients.zero();
    const double scale = 1.0 / static_cast<double>(batch.labelled());
    const double loss = scale * detached.executor().run(make_schedule(detached.graph(), all), batch,
                                                        {.gradient_scale = scale, .gradients = &gradients});
    CHECK(loss == doctest::Approx(golden.json["loss"].get<double>()).epsilon(1e-6));
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      const std::string& parameter = model.graph().parameter(id).name;
      CAPTURE(parameter);
      std::vector<double> theirs(static_cast<std::size_t>(model.graph().parameter(id).size()));
      expected.read_as<double>("grad." + parameter, theirs);
      const auto ours = gradients[id].download();
      if (largest(theirs) < 1e-12) {  // a bias of all keys moves no probability
        CHECK(largest(ours) < 1e-12);
        continue;
      }
      CHECK(relative_difference(ours, theirs) < 1e-9);
      const double approximation = relative_difference(golden.tensor("grad." + parameter), theirs);
      if (parameter.find(".0.") != std::string::npos) CHECK(approximation > 0.01);  // the exact ones are others
    }
  }
}

TEST_CASE("losses are those of the whole graph, and gradients are exact where every token is labelled") {
  Double backend(2);
  for (const ModelVariant& variant : decoders()) {
    CAPTURE(variant.model);
    Model<Double> model = model_of(backend, variant), detached = with_detached_context(model),
                  to_keys = with_detached_context(model, ContextGradients::keys);
    for (const LabelPattern& labels : label_patterns()) {
      CAPTURE(labels.name);
      const Batch batch = labelled_batch(labels, false);
      const Selection all = select_all(model.graph());
      const PassOutcome exact = train_once(model, batch, all), nothing = train_once(detached, batch, all),
                        keys = train_once(to_keys, batch, all);
      for (const PassOutcome* approximate : {&nothing, &keys}) {
        CHECK(approximate->loss == doctest::Approx(exact.loss).epsilon(1e-13));
        CHECK(approximate->flops == approximate->planned);
      }
      if (std::string(labels.name) != "all") {
        CHECK(nothing.flops < keys.flops);
        CHECK(keys.flops < exact.flops);
        continue;
      }
      double scale = 0;
      for (const auto& gradient : exact.gradients) scale = std::max(scale, largest(gradient));
      for (std::size_t p = 0; p < exact.gradients.size(); ++p) {
        CHECK(largest_difference(exact.gradients[p], nothing.gradients[p]) < 1e-12 * scale);
        CHECK(largest_difference(exact.gradients[p], keys.gradients[p]) < 1e-12 * scale);
      }
    }
  }
}

TEST_CASE("random selections and label rows: what is executed with a detached context is what is planned") {
  Double backend(2);
  std::size_t checked = 0;
  for (const ModelVariant& variant : decoders()) {
    CAPTURE(variant.model);
    Model<Double> model = model_of(backend, variant), nothing = with_detached_context(model),
                  keys = with_detached_context(model, ContextGradients::keys);
    for (std::uint64_t seed = 0; seed < 60; ++seed, ++checked) {
      Model<Double>& detached = seed % 2 == 0 ? nothing : keys;
      CAPTURE(seed);
      CounterRandom random(seed, "labels");
      const Batch batch = labelled_batch(random_labels(random), false);
      const Selection selection =
          select_where(detached.graph(), [&](const Parameter&) { return random.uniform() < 0.3; });
      if (selection.count() == 0) continue;
      const PassOutcome outcome = train_once(detached, batch, selection);
      REQUIRE(outcome.flops == outcome.planned);
    }
  }
  CHECK(checked > 500);
}

TEST_CASE("a cut between the two embeddings keeps a trained table from being cached") {
  Double backend(1);
  Model<Double> model = model_of(backend, {"llama-gqa-tied"}), detached = with_detached_context(model);
  const auto table = detached.graph().find("model.embed_tokens.weight");
  REQUIRE(table);
  CHECK(first_trained(detached.graph(), select_listed(detached.graph(), {"model.embed_tokens.weight"})) == 0);
}

TEST_CASE("a graph over the weights of a model is refused if its parameters are others") {
  Double backend(1);
  Model<Double> model = model_of(backend, {"llama-gqa-tied"}), other = model_of(backend, {"llama-mha-untied"});
  CHECK_THROWS_WITH_AS(model.with_graph(other.graph(), other.facts()), doctest::Contains("parameters"), ConfigError);
  auto narrow = model.graph();  // it would be planned for weights that are not there
  store_weights(narrow, *find_storage_format("BF16"));
  CHECK_THROWS_WITH_AS(model.with_graph(narrow, model.facts()), doctest::Contains("parameters"), ConfigError);
}

TEST_CASE("an encoder-decoder is refused, whose encoder no gradient would reach") {
  Double backend(1);
  Model<Double> model = model_of(backend, {"t5-tied-relu"});
  CHECK_THROWS_WITH_AS(with_detached_context(model), doctest::Contains("decoder alone"), ConfigError);
}

TEST_CASE("training with a cached prefix, or on other threads, gives the same weights to the bit") {
  const auto trained = [](int threads, PrefixCacheMode cache, ContextGradients left) {
    EigenBackend<float> backend(threads);
    auto model = load_pretrained(source_folder() / "tests/golden/models/llama-gqa-tied", backend);
    auto detached = with_detached_context(model, left);
    const GoldenModel golden(std::string("llama-gqa-tied"));
    Trainer trainer{detached, select_last_layers(detached.graph(), detached.facts(), 1),
                    AdamWOptions{.learning_rate = 1e-2}};
    const auto report = trainer.fit(golden.examples, {.epochs = 4, .batch_size = 2, .prefix_cache = cache});
    CHECK((report.flops.saved_by_cache > 0) == (cache == PrefixCacheMode::memory));
    std::vector<std::vector<float>> weights;
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
      weights.push_back(model.parameters()[id].download());
    return weights;
  };
  std::vector<std::vector<std::vector<float>>> alone;
  for (const ContextGradients left : modes) {
    alone.push_back(trained(1, PrefixCacheMode::off, left));
    CHECK(alone.back() == trained(2, PrefixCacheMode::off, left));
    CHECK(alone.back() == trained(2, PrefixCacheMode::memory, left));
  }
  CHECK(alone[0] != alone[1]);
}
