// Rows that nobody reads are left out, and losses, gradients and trained weights stay what they were.

#include "greentrainer/graph/pruned_rows.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "executor/labelled_passes.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_model.hpp"
#include "support/tiny_training.hpp"
#include "support/whole_rows.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// A model with the same weights in both graphs.
struct Pair {
  Model<Double> pruned, whole;
};
Pair models_of(Double& backend, ModelVariant variant) {
  variant.options.dropout = 0;  // masks are others where there are fewer rows
  if (variant.options.lora) variant.options.lora->dropout = 0;
  const auto folder = source_folder() / "tests/golden/models" / variant.model;
  return KnownArchitectures::read(ConfigReader::from_file(folder / "config.json"), [&](const auto& architecture) {
    const auto graph = architecture.template graph<Double>(variant.options);
    Pair pair{Model<Double>(backend, graph, facts_of(architecture)),
              Model<Double>(backend, with_whole_rows(graph), facts_of(architecture))};
    randomize(pair.pruned, 7);
    randomize(pair.whole, 7);
    return pair;
  });
}

}  // namespace

TEST_CASE("losses and gradients are those of the graph with all rows, whichever rows are labelled") {
  Double backend(2);
  for (const auto& variant : model_variants()) {
    Pair models = models_of(backend, variant);
    const Selection all = select_all(models.pruned.graph());
    for (const LabelPattern& labels : label_patterns()) {
      CAPTURE(variant.model);
      CAPTURE(labels.name);
      const Batch batch = labelled_batch(labels, models.pruned.facts().target_shift.has_value());
      const PassOutcome pruned = train_once(models.pruned, batch, all), whole = train_once(models.whole, batch, all);
      CHECK(pruned.loss == doctest::Approx(whole.loss).epsilon(1e-12));
      double scale = 0;
      for (const auto& gradient : whole.gradients) {
        for (const double g : gradient) scale = std::max(scale, std::abs(g));
      }
      for (std::size_t p = 0; p < whole.gradients.size(); ++p) {
        CAPTURE(models.pruned.graph().parameters()[p].name);
        CHECK(largest_difference(pruned.gradients[p], whole.gradients[p]) < 1e-12 * scale);
      }
      CHECK(pruned.flops == pruned.planned);
      CHECK(whole.flops == whole.planned);
      if (std::string(labels.name) != "all") CHECK(pruned.flops < whole.flops);
    }
  }
}

TEST_CASE("random selections and label rows: what is executed is what is planned, to the unit") {
  Double backend(2);
  std::size_t checked = 0;
  for (const auto& variant : model_variants()) {
    CAPTURE(variant.model);
    Pair models = models_of(backend, variant);
    const auto& graph = models.pruned.graph();
    for (std::uint64_t seed = 0; seed < 70; ++seed, ++checked) {
      CAPTURE(seed);
      CounterRandom random(seed, "labels");
      const LabelPattern labels = random_labels(random);
      const Batch batch = labelled_batch(labels, models.pruned.facts().target_shift.has_value());
      const Selection selection = select_where(graph, [&](const Parameter&) { return random.uniform() < 0.3; });
      if (selection.count() == 0) continue;
      const PassOutcome outcome = train_once(models.pruned, batch, selection);
      REQUIRE(outcome.flops == outcome.planned);
    }
  }
  CHECK(checked >= 1000);
}

TEST_CASE("after 20 steps losses and weights are those of the graph with all rows, in all four families") {
  Double backend(2);
  for (const std::string name : {"opt-pre", "opt-post", "llama-gqa-tied", "bloom", "t5-untied-gated"}) {
    CAPTURE(name);
    Pair models = models_of(backend, {name});
    std::vector<Example> examples = counting_examples(12);
    for (std::size_t i = 0; i < examples.size(); ++i) {
      if (models.pruned.facts().target_shift)
        examples[i] = encoder_decoder_example(examples[i].input_ids, examples[11 - i].input_ids,
                                              *models.pruned.facts().target_shift);
      auto& labels = examples[i].labels;
      for (std::size_t t = 0; t < labels.size(); ++t) {
        if ((t + i) % 3 == 0) labels[t] = ignore_label;
      }
    }
    const auto fit = [&](Model<Double>& model) {
      Trainer trainer{model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3}};
      return trainer.fit(examples, {.steps = 20, .batch_size = 4, .seed = 5, .evaluate = Evaluations::none});
    };
    const auto pruned = fit(models.pruned), whole = fit(models.whole);
    REQUIRE(pruned.history.size() == 20);
    for (std::size_t s = 0; s < 20; ++s)
      CHECK(pruned.history[s].loss == doctest::Approx(whole.history[s].loss).epsilon(1e-8));
    CHECK(pruned.flops.train < whole.flops.train);
    for (ParameterId id = 0; id < static_cast<ParameterId>(models.pruned.graph().parameters().size()); ++id) {
      CAPTURE(models.pruned.graph().parameter(id).name);
      CHECK(largest_difference(models.pruned.parameters()[id].download(), models.whole.parameters()[id].download()) <
            1e-6);
    }
  }
}
