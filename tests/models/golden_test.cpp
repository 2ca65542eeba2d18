// Parity with PyTorch and transformers: logits, loss, gradients, and weights after ten steps of SGD and of AdamW.

#include <algorithm>
#include <functional>
#include <tuple>

#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/models/opt.hpp"
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
                                                    .evaluate = Evaluations::none});
  REQUIRE(report.history.size() == 10);
  // llama-padding-tied's tenth step of SGD magnifies the rounding of those before it about 18 times: its loss was
  // 1.64544 in float, expected 1.64541, and within 1e-14 of that in double.
  const double tolerance = sizeof(typename B::Scalar) == sizeof(double) ? 1e-5 : 3e-5;
  for (std::size_t s = 0; s < 10; ++s) {
    CAPTURE(s);
    CHECK(report.history[s].loss ==
          doctest::Approx(golden.json["optimizers"][prefix]["losses"][s].get<double>()).epsilon(tolerance));
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
  std::vector<std::string> names = testing::golden_names();
  names.insert(names.end(), testing::padding_golden_names().begin(), testing::padding_golden_names().end());
  for (const std::string& name : names) {
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

TEST_CASE("the padding row is the one that transformers names, and refused where transformers refuses it") {
  const auto row_of = [](const std::string& model, const std::function<void(Json&)>& change) {
    Json config = read_json_file(testing::source_folder() / "tests/golden/models" / model / "config.json");
    change(config);
    const ConfigReader reader(config, "config.json");
    return model.starts_with("opt") ? Opt::read(reader).padding_row : Llama::read(reader).padding_row;
  };
  const auto with = [](const Json& id) { return [id](Json& config) { config["pad_token_id"] = id; }; };
  const auto without = [](Json& config) { config.erase("pad_token_id"); };
  for (const std::string model : {"llama-gqa-tied", "opt-pre"}) {
    CAPTURE(model);
    CHECK(row_of(model, with(nullptr)) == std::nullopt);
    CHECK(row_of(model, with(0)) == 0);
    CHECK(row_of(model, with(95)) == 95);
    CHECK(row_of(model, with(-1)) == 95);  // as torch.nn.Embedding counts
    CHECK(row_of(model, with(-96)) == 0);
    for (const Json& id : {Json(96), Json(-97), Json(2.0), Json(true), Json("5")}) {
      CAPTURE(id);
      CHECK_THROWS_WITH_AS(row_of(model, with(id)), doctest::Contains("\"pad_token_id\""), ConfigError);
    }
  }
  CHECK(row_of("llama-gqa-tied", without) == std::nullopt);
  CHECK(row_of("opt-pre", without) == 1);  // OPTConfig's default
}

TEST_CASE("looking up the padding token adds nothing to its row; only the head does, where it is tied") {
  using B = std::tuple_element_t<0, testing::BackendList>;
  B backend;
  const auto gradient_of_row = [&](const std::string& name, Extent row) {
    const GoldenModel golden(name);
    auto model = load_pretrained(golden.folder, backend);
    Batch batch = batch_of(golden.examples);
    for (auto& label : batch.labels) label = label == row ? 7 : label;
    GradientStore<B> gradients(backend);
    const Selection all = select_all(model.graph());
    gradients.select(model.graph(), all);
    gradients.zero();
    model.executor().run(make_schedule(model.graph(), all), batch, {.gradients = &gradients});
    const ParameterId table = 0;
    const auto values = gradients[table].download();
    const auto width = static_cast<std::ptrdiff_t>(model.graph().parameter(table).cols());
    return std::vector<typename B::Scalar>(values.begin() + row * width, values.begin() + (row + 1) * width);
  };
  const auto zero = [](typename B::Scalar value) { return value == 0; };
  CHECK(std::ranges::all_of(gradient_of_row("llama-padding-untied", 5), zero));
  CHECK(std::ranges::none_of(gradient_of_row("llama-padding-tied", 5), zero));
  CHECK(std::ranges::none_of(gradient_of_row("t5-untied-gated", 0), zero));  // T5's padding begins its targets
}
