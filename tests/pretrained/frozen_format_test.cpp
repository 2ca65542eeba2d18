// A folder whose weights are stored in a format until they are trained.
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/pretrained/load_examples.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/pretrained/weights_as_saved.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

namespace greentrainer::testing {
namespace {

using B = EigenBackend<float>;

const std::filesystem::path& stories() {
  static const auto folder = source_folder() / "examples/data/stories260k";
  return folder;
}
GraphOptions stored_as(const char* format) { return {.frozen_format = find_storage_format(format)}; }

std::vector<Example> some_examples() {
  std::vector<Example> examples(4);
  for (Index i = 0; i < 4; ++i) {
    for (Index t = 0; t < 20; ++t)
      examples[static_cast<std::size_t>(i)].input_ids.push_back(5 + (31 * i + 7 * t) % 400);
    examples[static_cast<std::size_t>(i)].labels = examples[static_cast<std::size_t>(i)].input_ids;
  }
  return examples;
}

TEST_CASE("weights that a format can store are rounded to it, the others are those of the folder") {
  B backend(1);
  const auto model = load_pretrained(stories(), backend, stored_as("Q8_0")),
             whole = load_pretrained(stories(), backend);
  std::size_t stored = 0, matrices_left = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const Parameter& p = model.graph().parameter(id);
    const std::vector<float> values = model.parameters().values(id), exact = whole.parameters().values(id);
    CAPTURE(p.name);
    if (!model.parameters().is_stored(id)) {
      CHECK(values == exact);
      matrices_left += p.shape.size() == 2 ? 1 : 0;
      continue;
    }
    ++stored;
    std::vector<std::byte> bytes(exact.size() / 32 * 34);
    encode_blocks(*find_storage_format("Q8_0"), exact, bytes);
    std::vector<float> expected(exact.size());
    decode_blocks<float>(*find_storage_format("Q8_0"), bytes, expected);
    CHECK(values == expected);
  }
  CHECK(stored == 1 + 5 * 6);
  CHECK(matrices_left == 5);  // rows of 172
}

TEST_CASE("what is saved is what the model computes with, in float32 to the bit") {
  B backend(1);
  const TemporaryFolder folder;
  auto model = load_pretrained(stories(), backend, stored_as("NF4"));
  save_pretrained(model, folder / "out", DType::float32);
  auto saved = load_pretrained(folder / "out", backend);
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
    CHECK(saved.parameters().values(id) == model.parameters().values(id));
  const std::vector<Example> examples = some_examples();
  CHECK(evaluate(model, examples).loss == evaluate(saved, examples).loss);
}

TEST_CASE("the loss as saved is that of the folder, and afterwards weights are stored as they were") {
  B backend(1);
  const TemporaryFolder folder;
  const std::vector<Example> examples = some_examples();
  auto model = load_pretrained(stories(), backend, stored_as("Q4_0"));
  Trainer<B> trainer(model, select_listed(model.graph(), {"*.layers.4.*"}), AdamWOptions{.learning_rate = 1e-2});
  trainer.fit(examples, {.epochs = 2, .evaluate = Evaluations::none});
  const double in_memory = evaluate(model, examples).loss;
  const Bytes bytes = model.parameters().bytes();
  for (const DType dtype : {DType::bfloat16, DType::float16}) {
    CAPTURE(name_of(dtype));
    const auto out = folder / name_of(dtype);
    save_pretrained(model, out, dtype);
    auto reloaded = load_pretrained(out, backend);
    {
      const WeightsAsSaved<B> saved(model, dtype);
      CHECK(saved.differ());
      CHECK(evaluate(model, examples).loss == evaluate(reloaded, examples).loss);
      CHECK(evaluate(model, examples).loss != in_memory);
    }
    CHECK(evaluate(model, examples).loss == in_memory);
    CHECK(model.parameters().bytes() == bytes);
  }
}

TEST_CASE("LoRA trains above stored weights as above their numbers, and is merged into these") {
  B backend(1);
  const TemporaryFolder folder;
  const std::vector<Example> examples = some_examples();
  {
    auto rounded = load_pretrained(stories(), backend, stored_as("Q4_0"));
    save_pretrained(rounded, folder / "rounded", DType::float32);
  }
  const auto trained = [&](const std::filesystem::path& source, const char* format) {
    GraphOptions options{.lora = LoraOptions{.rank = 4, .targets = {std::string(all_linear)}}};
    options.frozen_format = format == nullptr ? nullptr : find_storage_format(format);
    auto model = load_pretrained(source, backend, options, 3);
    Trainer<B> trainer(model, select_adapters(model.graph()), AdamWOptions{.learning_rate = 1e-2});
    const TrainingReport report = trainer.fit(examples, {.epochs = 3, .evaluate = Evaluations::none});
    const auto out = folder / text(source.filename().string(), "-tuned");
    save_pretrained(model, out, DType::float32);
    return report.history.back().loss;
  };
  CHECK(trained(stories(), "Q4_0") == trained(folder / "rounded", nullptr));
  auto one = load_pretrained(folder / "stories260k-tuned", backend),
       other = load_pretrained(folder / "rounded-tuned", backend);
  for (ParameterId id = 0; id < static_cast<ParameterId>(one.graph().parameters().size()); ++id)
    CHECK(one.parameters().values(id) == other.parameters().values(id));
}

TEST_CASE("weights stored as in the files are those of the files, bit for bit: blocks of GGUF, 16 bits of folders") {
  B backend(1);
  const TemporaryFolder folder;
  {
    auto model = load_pretrained(stories(), backend);
    save_pretrained(model, folder / "bfloat16", DType::bfloat16);
  }
  const GraphOptions as_source = {.keeps_source_format = true};
  std::set<std::string_view> formats;
  for (const auto& source : {source_folder() / "tests/golden/gguf/stories260k.gguf", folder / "bfloat16"}) {
    CAPTURE(source.string());
    auto stored = load_pretrained(source, backend, as_source), whole = load_pretrained(source, backend);
    for (ParameterId id = 0; id < static_cast<ParameterId>(whole.graph().parameters().size()); ++id) {
      CAPTURE(whole.graph().parameter(id).name);
      const StorageFormat* const format = stored.graph().parameter(id).format;
      CHECK((format != nullptr) == (whole.graph().parameter(id).shape.size() == 2));
      if (format != nullptr) formats.insert(format->name);
      CHECK(stored.parameters().values(id) == whole.parameters().values(id));
    }
    CHECK(evaluate(stored, some_examples()).loss == evaluate(whole, some_examples()).loss);
    const auto out = folder / text(source.filename().string(), "-saved");
    save_pretrained(stored, out);
    CHECK(load_pretrained(out, backend).parameters().values(0) == whole.parameters().values(0));
  }
  CHECK(formats == std::set<std::string_view>{"Q8_0", "F16", "BF16"});
  const auto wide = load_pretrained(stories(), backend, as_source);
  for (const Parameter& p : wide.graph().parameters()) CHECK(p.format == nullptr);  // float32 in the file
}

TEST_CASE("a weight that a format cannot hold is refused by name, and so are two ways to store weights") {
  B backend(1);
  const TemporaryFolder folder;
  {
    auto model = load_pretrained(stories(), backend);
    std::vector<float> values = model.parameters()[2].download();
    values[5] = -1e5F;
    model.parameters()[2].upload(values);
    save_pretrained(model, folder / "large");
  }
  CHECK_THROWS_WITH_AS(load_pretrained(folder / "large", backend, stored_as("F16")),
                       doctest::Contains("expected weights that F16 can hold, got -100000"), LoadError);
  CHECK_NOTHROW(load_pretrained(folder / "large", backend, stored_as("BF16")));
  GraphOptions both = stored_as("Q8_0");
  both.keeps_source_format = true;
  CHECK_THROWS_AS(load_pretrained(stories(), backend, both), ConfigError);
}

}  // namespace
}  // namespace greentrainer::testing
