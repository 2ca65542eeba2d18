// Parity with PyTorch and transformers: logits, loss, gradients, and weights after ten steps of SGD and of AdamW.

#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_model.hpp"

using namespace greentrainer;
using greentrainer::testing::GoldenModel;
using greentrainer::testing::only;
using greentrainer::testing::relative_difference;
using greentrainer::testing::zero_gradients;

namespace {

Batch batch_of(const std::vector<Example>& examples) {
  std::vector<std::size_t> all(examples.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return collate(examples, all);
}

template <class B, class OptimizerOptions>
void check_ten_steps(B& backend, const GoldenModel& golden, const std::string& prefix, OptimizerOptions optimizer,
                     bool adaptive) {
  auto model = load_pretrained(golden.folder, backend);
  Trainer trainer{model, select_all(model.graph()), optimizer};
  const auto report = trainer.fit(golden.examples, {.steps = 10,
                                                    .batch_size = 3,
                                                    .schedule = {.kind = LearningRateSchedule::Kind::constant},
                                                    .shuffle = false,
                                                    .evaluate = false});
  REQUIRE(report.history.size() == 10);
  for (std::size_t s = 0; s < 10; ++s) {
    CAPTURE(s);
    CHECK(report.history[s].loss ==
          doctest::Approx(golden.json["optimizers"][prefix]["losses"][s].get<double>()).epsilon(1e-5));
  }
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const std::string& name = model.graph().parameter(id).name;
    CAPTURE(name);
    const auto weights = model.parameters()[id].download();
    std::vector<bool> noise = zero_gradients(golden, name, weights.size());
    if (!adaptive) noise.assign(weights.size(), false);  // AdamW divides rounding noise by its own size
    const auto compared = only(noise, false, weights);
    if (!compared.empty())
      CHECK(relative_difference(compared, only(noise, false, golden.tensor(prefix + "." + name))) < 1e-5);
  }
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("tiny models agree with transformers", B, agree) {
  B backend;
  for (const std::string& name : testing::golden_names()) {
    CAPTURE(name);
    const GoldenModel golden(name);
    auto model = load_pretrained(golden.folder, backend);
    const Batch batch = batch_of(golden.examples);

    std::size_t row = 0;
    const auto logits = model.logits(batch.decoder, batch.encoder);
    for (std::size_t s = 0; s < golden.examples.size(); ++s) {
      const auto expected = golden.tensor("logits." + std::to_string(s));
      const std::span<const typename B::Scalar> got(logits.data() + row, expected.size());
      CHECK(relative_difference(got, std::span<const double>(expected)) < 1e-5);
      row += expected.size();
    }

    GradientStore<B> gradients(backend);
    const Selection all = select_all(model.graph());
    gradients.select(model.graph(), all);
    gradients.zero();
    const double scale = 1.0 / static_cast<double>(batch.labelled());
    CHECK(batch.labelled() == golden.json["labelled_tokens"].get<Extent>());
    const double loss = scale * model.executor().run(make_schedule(model.graph(), all), batch,
                                                     {.gradient_scale = scale, .gradients = &gradients});
    const double expected_loss = golden.json["loss"].get<double>();
    CHECK(std::abs(loss - expected_loss) < 1e-6 * expected_loss);
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      const std::string& parameter = model.graph().parameter(id).name;
      CAPTURE(parameter);
      const auto gradient = gradients[id].download();
      const std::vector<bool> zero = zero_gradients(golden, parameter, gradient.size());
      for (const auto g : only(zero, true, gradient)) CHECK(std::abs(g) < 1e-7);
      const auto compared = only(zero, false, gradient);
      if (!compared.empty())
        CHECK(relative_difference(compared, only(zero, false, golden.tensor("grad." + parameter))) < 1e-4);
    }
    CHECK(evaluate(model, golden.examples).loss == doctest::Approx(expected_loss).epsilon(1e-6));

    check_ten_steps(backend, golden, "sgd10", SgdOptions{.learning_rate = 0.05}, false);
    check_ten_steps(backend, golden, "adamw10", AdamWOptions{.learning_rate = 1e-3, .weight_decay = 0.01}, true);
  }
}
TEST_CASE_TEMPLATE_APPLY(agree, greentrainer::testing::BackendList);
