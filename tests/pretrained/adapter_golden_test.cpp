// Parity with peft: LoRA and prefixes that it made compute what it computes, and learn what it learns.

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_adapter.hpp"

using namespace greentrainer;
using greentrainer::testing::GoldenAdapter;
using greentrainer::testing::relative_difference;

namespace {

/// A tensor of an adapter's golden file for a parameter of ours: of a prefix's table, an entry.
template <class P>
std::vector<double> expected_values(const GoldenAdapter& golden, const TensorGraph<P>& graph, ParameterId id,
                                    const std::string& what) {
  const Parameter& p = graph.parameter(id);
  if (golden.has(what + p.name)) return golden.tensor(what + p.name);
  const std::vector<double> table = golden.tensor(what + "prompt_embeddings");
  const Extent entry = std::stoll(p.name.substr(std::string("prompt_embeddings.").size())),
               cols = static_cast<Extent>(table.size()) / p.rows();
  std::vector<double> values;
  for (Extent r = 0; r < p.rows(); ++r) {
    const auto first = table.begin() + r * cols + entry * p.cols();
    values.insert(values.end(), first, first + p.cols());
  }
  return values;
}

}  // namespace

TEST_CASE_TEMPLATE("adapters agree with peft", B, EigenBackend<float>, EigenBackend<double>,
                   OpaqueBackend<EigenBackend<float>>) {
  B backend;
  for (const std::string& name : testing::golden_adapter_names()) {
    CAPTURE(name);
    const GoldenAdapter golden(name);
    auto model = load_pretrained_with_adapter(golden.base, golden.folder, backend);
    const Selection adapters = select_adapters(model.graph());
    CHECK(adapters.count() >= 2);

    const Batch batch = testing::batch_of(golden.examples);
    std::size_t row = 0;
    const auto logits = model.logits(batch.decoder, batch.encoder);
    for (std::size_t s = 0; s < golden.examples.size(); ++s) {
      const auto expected = golden.tensor("logits." + std::to_string(s));
      const std::span<const typename B::Scalar> got(logits.data() + row, expected.size());
      CHECK(relative_difference(got, std::span<const double>(expected)) < 1e-5);
      row += expected.size();
    }

    GradientStore<B> gradients(backend);
    gradients.select(model.graph(), adapters);
    gradients.zero();
    const double scale = 1.0 / static_cast<double>(batch.labelled());
    const double loss = scale * model.executor().run(make_schedule(model.graph(), adapters), batch,
                                                     {.gradient_scale = scale, .gradients = &gradients});
    CHECK(loss == doctest::Approx(golden.json["loss"].get<double>()).epsilon(1e-6));
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      if (!adapters.contains(id)) continue;
      CAPTURE(model.graph().parameter(id).name);
      CHECK(relative_difference(gradients[id].download(), expected_values(golden, model.graph(), id, "grad.")) < 1e-4);
    }

    Trainer trainer{model, adapters, AdamWOptions{.learning_rate = 1e-3, .weight_decay = 0.01}};
    const auto report = trainer.fit(golden.examples, {.steps = 10,
                                                      .batch_size = 3,
                                                      .schedule = {.kind = LearningRateSchedule::Kind::constant},
                                                      .shuffle = false,
                                                      .evaluate = Evaluations::none});
    for (std::size_t s = 0; s < 10; ++s) {
      CHECK(report.history[s].loss ==
            doctest::Approx(golden.json["optimizers"]["adamw10"]["losses"][s].get<double>()).epsilon(1e-5));
    }
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      if (!adapters.contains(id)) continue;
      CAPTURE(model.graph().parameter(id).name);
      CHECK(relative_difference(model.parameters()[id].download(),
                                expected_values(golden, model.graph(), id, "adamw10.")) < 1e-5);
    }
  }
}
