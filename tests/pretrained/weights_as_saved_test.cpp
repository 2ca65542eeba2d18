// What a folder holds after training, and that its loss can be had before it is written.

#include "greentrainer/pretrained/weights_as_saved.hpp"

#include <algorithm>
#include <limits>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_model.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::weights_of;
using B = EigenBackend<float>;

namespace {

/// A folder in bfloat16, as most models are published.
struct Folder {
  Folder() {
    auto model = load_pretrained(testing::source_folder() / "tests/golden/models/llama-gqa-tied", backend);
    save_pretrained(model, source, DType::bfloat16);
  }
  PretrainedModel<B> trained(double learning_rate, GraphOptions options = {}) {
    auto model = load_pretrained(source, backend, options);
    const Selection selection = options.lora ? select_adapters(model.graph()) : select_all(model.graph());
    Trainer(model, selection, AdamWOptions{.learning_rate = learning_rate})
        .fit(examples, {.steps = 5, .evaluate = Evaluations::none});
    return model;
  }

  B backend{1};
  testing::TemporaryFolder scratch;
  std::filesystem::path source = scratch / "source", out = scratch / "out";
  std::vector<Example> examples = counting_examples(16);
};

}  // namespace

TEST_CASE("a model keeps its element types; in float32 a trained one keeps every bit of its weights") {
  Folder f;
  auto model = f.trained(1e-5);
  save_pretrained(model, f.out);
  const SafetensorsFile own(f.out / "model.safetensors");
  for (const TensorInfo& info : own.tensors()) CHECK(info.dtype == DType::bfloat16);
  CHECK(read_json_file(f.out / "config.json").at("torch_dtype") == "bfloat16");
  CHECK(WeightsAsSaved<B>(model).differ());

  save_pretrained(model, f.out, DType::float32);
  CHECK(read_json_file(f.out / "config.json").at("torch_dtype") == "float32");
  auto loaded = load_pretrained(f.out, f.backend);
  CHECK(weights_of(loaded) == weights_of(model));
  CHECK_FALSE(WeightsAsSaved<B>(model, DType::float32).differ());
}

TEST_CASE("a model that was not trained keeps its bytes, and its weights are those that are saved") {
  Folder f;
  auto model = load_pretrained(f.source, f.backend);
  save_pretrained(model, f.out);
  const SafetensorsFile before(f.source / "model.safetensors"), after(f.out / "model.safetensors");
  for (const TensorInfo& info : before.tensors())
    CHECK(std::ranges::equal(before.raw(info.name), after.raw(info.name)));
  CHECK_FALSE(WeightsAsSaved<B>(model).differ());
}

TEST_CASE("the loss as saved is that of the folder, whatever its type; afterwards the weights are as they were") {
  for (const bool lora : {false, true}) {
    for (const auto dtype : {std::optional<DType>(), std::optional(DType::float32), std::optional(DType::float16)}) {
      CAPTURE(lora);
      CAPTURE((dtype ? name_of(*dtype) : "none"));
      Folder f;
      auto model = f.trained(1e-3, lora ? GraphOptions{.lora = LoraOptions{.rank = 2}} : GraphOptions{});
      const auto weights = weights_of(model);
      const double in_memory = evaluate(model, f.examples).loss;
      save_pretrained(model, f.out, dtype);
      auto folder = load_pretrained(f.out, f.backend);
      const double in_folder = evaluate(folder, f.examples).loss;
      {
        const WeightsAsSaved<B> saved(model, dtype);
        CHECK(saved.differ() == (lora || dtype != DType::float32));
        CHECK(evaluate(model, f.examples).loss == doctest::Approx(in_folder).epsilon(1e-6));
        if (dtype != DType::float32) CHECK(evaluate(model, f.examples).loss != in_memory);
      }
      CHECK(weights_of(model) == weights);
      CHECK(evaluate(model, f.examples).loss == in_memory);
    }
  }
}

TEST_CASE("updates smaller than bfloat16's steps are kept in the mean, which rounding to the nearest loses") {
  Folder f;
  auto model = f.trained(1e-5);  // a tenth of a step of weights of 0.1
  auto before = load_pretrained(f.source, f.backend);
  save_pretrained(model, f.out, DType::bfloat16);
  auto saved = load_pretrained(f.out, f.backend);
  // The share of the update that is left: its product with the saved one over its square.
  const auto kept = [&](auto stored) {
    double product = 0, square = 0;
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      const auto from = before.parameters()[id].download(), to = model.parameters()[id].download();
      for (std::size_t i = 0; i < from.size(); ++i) {
        const double update = double{to[i]} - double{from[i]};
        product += update * (double{stored(id, i, to[i])} - double{from[i]});
        square += update * update;
      }
    }
    return product / square;
  };
  std::vector<std::vector<float>> stored = weights_of(saved);
  CHECK(kept([&](ParameterId id, std::size_t i, float) { return stored[static_cast<std::size_t>(id)][i]; }) ==
        doctest::Approx(1).epsilon(0.2));
  CHECK(kept([](ParameterId, std::size_t, float v) { return bfloat16_to_float(float_to_bfloat16(v)); }) < 0.5);
}

TEST_CASE("a weight is written in pieces of some rows, which together are its bytes: no copy of it is made") {
  B backend(1);
  auto model = load_pretrained(testing::source_folder() / "examples/data/stories260k", backend);
  constexpr std::size_t most = std::size_t{1} << 14;
  const auto written = [&](DType dtype) {
    std::vector<std::byte> bytes;
    for (const TensorToWrite& tensor : detail::tensors_to_save(model, dtype)) {
      CAPTURE(tensor.name);
      tensor.write([&](std::span<const std::byte> piece) {
        CHECK(piece.size() <= most * static_cast<std::size_t>(size_of(DType::float32)));
        if (tensor.name == "model.embed_tokens.weight") bytes.insert(bytes.end(), piece.begin(), piece.end());
      });
    }
    return bytes;
  };
  const ParameterId id = *model.graph().find("model.embed_tokens.weight");
  REQUIRE(model.graph().parameter(id).size() == 2 * most);
  CHECK(written(DType::float32) == model.checkpoint().raw("model.embed_tokens.weight"));
  auto values = model.parameters()[id].download();
  CHECK(written(DType::bfloat16) == encode_floats<float>(DType::bfloat16, values));
  values.back() += 1e-3F;  // trained
  model.parameters()[id].upload(values);
  CHECK(written(DType::bfloat16) ==
        encode_stochastically<float>(DType::bfloat16, "model.embed_tokens.weight", std::span<const float>(values)));
  values.back() = std::numeric_limits<float>::infinity();
  model.parameters()[id].upload(values);
  CHECK_THROWS_WITH_AS(written(DType::float32), doctest::Contains("expected finite weights, got inf"), NumericalError);
}
