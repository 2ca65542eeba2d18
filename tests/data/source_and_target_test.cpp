// Rows for encoder-decoders: what is read and what is said, shifted as transformers shifts it.

#include <doctest/doctest.h>

#include "greentrainer/data/collate.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::has;

namespace {

const TargetShift shift{.start = 7, .pad = 9};

Dataset load(const std::string& rows, Extent max_tokens = 512, Extent max_target = 512,
             const std::string& dataset = {}) {
  static const auto tokenizer = load_tokenizer(testing::source_folder() / "examples/data/stories260k");
  const testing::TemporaryFolder folder;
  return load_jsonl(folder.write("rows.jsonl", rows), tokenizer.get(),
                    {.max_tokens = max_tokens,
                     .dataset = dataset,
                     .vocabulary = 512,
                     .target = TargetOptions{.shift = shift, .max_tokens = max_target}});
}
std::vector<Index> ids_of(const std::string& text, bool eos = true) {
  const auto tokenizer = load_tokenizer(testing::source_folder() / "examples/data/stories260k");
  auto ids = tokenizer->encode(text);
  if (eos) ids.push_back(*tokenizer->eos_id());
  return ids;
}

}  // namespace

TEST_CASE("prompt and completion are source and target, each with EOS; the target stands behind the start id") {
  const Dataset data = load(R"({"prompt": "Once upon a time", "completion": "there was"})");
  REQUIRE(data.examples.size() == 1);
  const Example& example = data.examples[0];
  CHECK(example.source_ids == ids_of("Once upon a time"));
  std::vector<Index> target = ids_of("there was"), input = {shift.start}, labels = {ignore_label};
  input.insert(input.end(), target.begin(), target.end());
  labels.insert(labels.end(), target.begin(), target.end());
  CHECK(example.input_ids == input);
  CHECK(example.labels == labels);
}

TEST_CASE("labels without loss are read as the pad id; the decoder does not read the last token") {
  const Dataset data = load(R"({"input_ids": [5, 6, 1], "labels": [11, -100, 13, 1]})");
  const std::vector<std::size_t> all = {0};
  const Batch batch = collate(data.examples, all);
  CHECK(batch.encoder.ids == std::vector<Index>{5, 6, 1});
  CHECK(batch.encoder.offsets == std::vector<Index>{0, 3});
  CHECK(batch.decoder.ids == std::vector<Index>{7, 11, 9, 13});  // as T5's _shift_right
  CHECK(batch.label_rows == std::vector<Index>{0, 2, 3});
  CHECK(batch.labels == std::vector<Index>{11, 13, 1});
}

TEST_CASE("a long source loses its end and keeps EOS; a row whose target is too long is dropped") {
  const std::string row = R"({"prompt": "the cat sat on the mat and looked at the moon", "completion": "all night"})";
  const auto whole = ids_of("the cat sat on the mat and looked at the moon", false);
  const auto size = static_cast<Extent>(whole.size());
  for (const Extent limit : {size + 1, size, Extent{5}}) {
    const Dataset data = load(row, limit);
    CHECK(data.rows_truncated == (limit <= size ? 1 : 0));
    const auto& source = data.examples.at(0).source_ids;
    REQUIRE(static_cast<Extent>(source.size()) == std::min(limit, size + 1));
    CHECK(source.back() == ids_of("").back());
    CHECK(std::equal(source.begin(), source.end() - 1, whole.begin()));
  }
  const auto target = static_cast<Extent>(ids_of("all night").size());
  const std::string other =
      "\n"
      R"({"prompt": "the cat", "completion": "a"})";
  CHECK(load(row + other, 512, target).rows_dropped == 0);
  CHECK(load(row + other, 512, target - 1).rows_dropped == 1);
}

TEST_CASE("rows without a source, several turns and foreign ids are refused by line") {
  const auto error = [](const std::string& row) { return testing::error_of<DataError>([&] { load(row); }); };
  CHECK(has(error(R"({"text": "Once upon a time"})"), "line 1: row: expected a prompt beside the completion"));
  CHECK(has(error(R"({"input_ids": [5], "labels": [512]})"), "token id: expected 0 to 511, got 512"));
  CHECK(has(error(R"({"input_ids": [512], "labels": [5]})"), "token id: expected 0 to 511, got 512"));
  CHECK(has(error(R"({"input_ids": [], "labels": [5]})"), "expected at least one row"));
}
