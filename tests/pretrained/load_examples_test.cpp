// Data are read with what the model says of itself, whatever kind it is.

#include "greentrainer/pretrained/load_examples.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/train/trainer.hpp"
#include "program/run_program.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

const std::filesystem::path root = testing::source_folder();

/// As in the README: load, train, save. Returns the report.
TrainingReport fine_tune(const std::filesystem::path& folder, const std::filesystem::path& file,
                         const std::filesystem::path& out) {
  EigenBackend backend(1);
  auto model = load_pretrained(folder, backend);
  const auto data = load_jsonl(file, model);
  Trainer trainer{model, GreenOptions{.flops_ratio = 0.6}, AdamWOptions{.learning_rate = 5e-4}};
  TrainingReport report = trainer.fit(data, {.epochs = 1, .batch_size = 4});
  save_pretrained(model, out);
  return report;
}

}  // namespace

TEST_CASE("the README's lines work for decoders, an encoder-decoder, and folders without a tokenizer") {
  const testing::TemporaryFolder scratch;
  for (const char* name : {"opt-pre", "llama-gqa-tied", "bloom", "t5-tied-relu"}) {
    CAPTURE(name);
    const auto folder = root / "tests/golden/models" / name;
    REQUIRE_FALSE(std::filesystem::exists(folder / "tokenizer.json"));
    const auto rows = scratch.write(std::string(name) + ".jsonl", testing::golden_rows(name));
    const auto report = fine_tune(folder, rows, scratch / name);
    const double published = read_json_file(folder / "golden.json").at("loss").get<double>();
    CHECK(*report.loss_before == doctest::Approx(published).epsilon(1e-6));
    CHECK(std::filesystem::exists(scratch / name / "model.safetensors"));
  }
}

TEST_CASE("texts are read with the model's tokenizer, and cut to the model's positions") {
  const testing::TemporaryFolder scratch;
  std::string words;
  for (int i = 0; i < 2000; ++i) words += " once upon a time";
  const auto rows = scratch.write("rows.jsonl", "{\"text\": \"" + words + "\"}\n");
  EigenBackend backend(1);
  auto model = load_pretrained(root / "examples/data/stories260k", backend);
  const Dataset capped = load_jsonl(rows, model);
  REQUIRE(capped.examples.size() == 1);
  CHECK(static_cast<Extent>(capped.examples[0].input_ids.size()) == model.facts().max_positions);
  CHECK(capped.rows_truncated == 1);
  CHECK(evaluate(model, capped.examples).loss > 0);
  CHECK(load_jsonl(rows, model, {.max_tokens = 50}).examples[0].input_ids.size() == 50);
}
