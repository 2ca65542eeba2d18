// Every decoder-only architecture against transformers: logits, loss, gradients, ten steps of AdamW, what is saved, and
// greedy generation.

#include <algorithm>
#include <filesystem>
#include <utility>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/generate/generate.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/save_adapter.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_model.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::GoldenModel;
using greentrainer::testing::only;
using greentrainer::testing::relative_difference;

namespace {

using Double = EigenBackend<double>;

std::vector<std::filesystem::path> golden_folders() {
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(testing::source_folder() / "tests/golden/architectures"))
    if (entry.is_directory()) folders.push_back(entry.path());
  std::ranges::sort(folders);
  return folders;
}

Batch batch_of(const std::vector<Example>& examples) {
  std::vector<std::size_t> all(examples.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return collate(examples, all);
}

/// Elements of biases whose gradient is zero by mathematics, those of keys that no rotation reaches: in the golden file
/// they are rounding noise.
std::vector<bool> noise_of(const GoldenModel& golden, const std::string& parameter) {
  const std::vector<double> gradient = golden.tensor("grad." + parameter);
  std::vector<bool> noise;
  for (const double g : gradient) noise.push_back(parameter.ends_with(".bias") && std::abs(g) < 1e-12);
  return noise;
}

template <class T>
void check_equal(const GoldenModel& golden, const std::string& kind, const std::string& parameter,
                 const std::vector<T>& values, double tolerance) {
  CAPTURE(parameter);
  const std::vector<bool> noise = noise_of(golden, parameter);
  for (const T value : only(noise, true, values))
    if (kind == "grad.") CHECK(std::abs(value) < 1e-12);
  const auto compared = only(noise, false, values);
  const auto expected = only(noise, false, golden.tensor(kind + parameter));
  const auto is_zero = [](auto value) { return value == 0; };
  if (std::ranges::all_of(expected, is_zero))  // an expert that gets no token
    CHECK(std::ranges::all_of(compared, is_zero));
  else
    CHECK(relative_difference(compared, expected) < tolerance);
}

}  // namespace

TEST_CASE("a graph's parameters are the rows of its architecture's table, in their order") {
  for (const char* folder : {"tests/golden/models", "tests/golden/architectures"}) {
    for (const auto& entry : std::filesystem::directory_iterator(testing::source_folder() / folder)) {
      if (!std::filesystem::exists(entry.path() / "config.json")) continue;
      CAPTURE(entry.path());
      KnownArchitectures::read(ConfigReader::from_file(entry.path() / "config.json"), [](const auto& architecture) {
        const TensorTable table = architecture.tensors();
        const auto graph = architecture.template graph<Double>();
        REQUIRE(graph.parameters().size() == table.rows.size());
        for (std::size_t i = 0; i < table.rows.size(); ++i) {
          CHECK(graph.parameters()[i].name == table.rows[i].name);
          CHECK(graph.parameters()[i].shape == table.rows[i].shape);
        }
      });
    }
  }
}

TEST_CASE("every architecture's logits, loss and gradients are those of transformers") {
  Double backend;
  for (const auto& folder : golden_folders()) {
    CAPTURE(folder);
    const GoldenModel golden(folder);
    auto model = load_pretrained(folder, backend);
    const Batch batch = batch_of(golden.examples);
    const auto logits = model.logits(batch.decoder);
    std::size_t row = 0;
    for (std::size_t s = 0; s < golden.examples.size(); ++s) {
      const auto expected = golden.tensor("logits." + std::to_string(s));
      const std::span<const double> got(logits.data() + row, expected.size());
      CHECK(relative_difference(got, std::span<const double>(expected)) < 1e-6);
      row += expected.size();
    }
    GradientStore<Double> gradients(backend);
    const Selection all = select_all(model.graph());
    gradients.select(model.graph(), all);
    gradients.zero();
    const double scale = 1.0 / static_cast<double>(batch.labelled());
    const double loss = scale * model.executor().run(make_schedule(model.graph(), all), batch,
                                                     {.gradient_scale = scale, .gradients = &gradients});
    CHECK(loss == doctest::Approx(golden.json["loss"].get<double>()).epsilon(1e-9));
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
      check_equal(golden, "grad.", model.graph().parameter(id).name,
                  model.stored().as_stored(id, gradients[id].download()), 1e-6);
  }
}

TEST_CASE("every architecture trains as in PyTorch, and its saved folder is read back as it was") {
  Double backend;
  for (const auto& folder : golden_folders()) {
    CAPTURE(folder);
    const GoldenModel golden(folder);
    auto model = load_pretrained(folder, backend);
    Trainer trainer{model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3, .weight_decay = 0.01}};
    const auto report = trainer.fit(golden.examples, {.steps = 10,
                                                      .batch_size = 3,
                                                      .schedule = {.kind = LearningRateSchedule::Kind::constant},
                                                      .shuffle = false,
                                                      .evaluate = Evaluations::none});
    REQUIRE(report.history.size() == 10);
    for (std::size_t s = 0; s < 10; ++s) {
      CHECK(report.history[s].loss ==
            doctest::Approx(golden.json["optimizers"]["adamw10"]["losses"][s].get<double>()).epsilon(1e-6));
    }
    const testing::TemporaryFolder temporary;
    save_pretrained(model, temporary.path() / "saved", DType::float32);
    const auto saved = load_pretrained(temporary.path() / "saved", backend);
    const SafetensorsFile before(folder / "model.safetensors"), after(temporary.path() / "saved/model.safetensors");
    CHECK(before.tensors().size() == after.tensors().size());
    for (const TensorInfo& info : before.tensors()) CHECK(after.info(info.name).shape == info.shape);
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      const std::string& name = model.graph().parameter(id).name;
      for (const PretrainedModel<Double>* trained : {&std::as_const(model), &saved}) {
        check_equal(golden, "adamw10.", name, model.stored().as_stored(id, trained->parameters()[id].download()), 1e-5);
      }
    }
  }
}

TEST_CASE("every architecture generates the tokens that transformers generates") {
  Double backend;
  for (const auto& folder : golden_folders()) {
    CAPTURE(folder);
    const GoldenModel golden(folder);
    auto model = load_pretrained(folder, backend);
    const auto& ids = golden.examples.front().input_ids;
    const auto expected = golden.json["generated"].get<std::vector<Index>>();
    const std::vector<std::vector<Index>> prompts = {{ids.begin(), ids.begin() + 4}};
    const auto generated = generate(model, prompts, {.max_new_tokens = static_cast<Extent>(expected.size())});
    CHECK(generated.front().ids == expected);
  }
}

TEST_CASE("peft is told that GPT-2's layers are stored the other way round, and no other's") {
  Double backend;
  for (const auto& folder : golden_folders()) {
    CAPTURE(folder);
    const testing::TemporaryFolder temporary;
    save_adapter(load_pretrained(folder, backend, {.lora = LoraOptions{.rank = 2}}), temporary / "adapter");
    const Json config = read_json_file(temporary / "adapter/adapter_config.json");
    CHECK(config["fan_in_fan_out"] == (folder.filename() == "gpt2"));
    CHECK(!config["target_modules"].empty());
  }
}
