// Long texts as many examples: each label once, in order, and with the token in front of it.

#include "greentrainer/data/text_chunks.hpp"

#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

Dataset load(const std::string& rows, const Tokenizer& tokenizer, DataOptions options) {
  const TemporaryFolder folder;
  return load_jsonl(folder.write("rows.jsonl", rows), tokenizer, options);
}

/// Tokens that are predicted, in order, as pairs of the token in front and the label.
std::vector<std::pair<Index, Index>> predicted(const std::vector<Example>& examples) {
  std::vector<std::pair<Index, Index>> all;
  for (const Example& example : examples) {
    for (std::size_t t = 1; t < example.labels.size(); ++t) {
      if (example.labels[t] != ignore_label) all.emplace_back(example.input_ids[t - 1], example.labels[t]);
    }
  }
  return all;
}

const std::string three = R"({"text": "the cat sat on the mat and looked at the moon"}
{"text": "hi"}
{"text": "the dog ran over the hill and far away into the dark wood"}
)";

}  // namespace

TEST_CASE("chunks predict each token of a text once, in order, behind the token that is in front of it") {
  for (Extent size = 1; size <= 25; ++size) {
    Example whole;
    whole.input_ids.resize(static_cast<std::size_t>(size));
    std::iota(whole.input_ids.begin(), whole.input_ids.end(), 100);
    whole.labels = whole.input_ids;
    for (Extent most = 2; most <= 27; ++most) {
      CAPTURE(size);
      CAPTURE(most);
      const std::vector<Example> pieces = chunks_of(whole, most);
      CHECK(predicted(pieces) == predicted({whole}));
      CHECK(pieces.size() == static_cast<std::size_t>(std::max<Extent>(1, (size - 1 + most - 2) / (most - 1))));
      for (const Example& piece : pieces) {
        CHECK(static_cast<Extent>(piece.input_ids.size()) <= most);
        CHECK(piece.input_ids.size() == piece.labels.size());
        if (size > 1) CHECK(piece.input_ids.size() >= 2);
      }
    }
  }
}

TEST_CASE("packed each by itself, a text loses nothing and shares no example") {
  const auto tokenizer = load_tokenizer(source_folder() / "examples/data/stories260k");
  const Dataset whole = load(three, *tokenizer, {.max_tokens = 1000});
  const Dataset packed = load(three, *tokenizer, {.max_tokens = 8, .packing = Packing::each});
  CHECK(packed.rows == 3);
  CHECK(packed.rows_truncated == 0);
  CHECK(packed.rows_dropped == 0);
  CHECK(packed.examples.size() > 4);
  CHECK(packed.examples.size() == packed.lines.size());
  CHECK(predicted(packed.examples) == predicted(whole.examples));
  for (Extent line = 1; line <= 3; ++line) {
    std::vector<Example> of_line;
    for (std::size_t i = 0; i < packed.examples.size(); ++i) {
      if (packed.lines[i] == line) of_line.push_back(packed.examples[i]);
    }
    CHECK(predicted(of_line) == predicted({whole.examples[static_cast<std::size_t>(line - 1)]}));
    REQUIRE_FALSE(of_line.empty());
    CHECK(of_line.front().input_ids.front() == *tokenizer->bos_id());
  }
}

TEST_CASE("packed together, texts fill every example but the last, each with its BOS, which nothing predicts") {
  const auto tokenizer = load_tokenizer(source_folder() / "examples/data/stories260k");
  const Dataset whole = load(three, *tokenizer, {.max_tokens = 1000});
  const Dataset packed = load(three, *tokenizer, {.max_tokens = 8, .packing = Packing::joined});
  for (std::size_t i = 0; i + 1 < packed.examples.size(); ++i) CHECK(packed.examples[i].input_ids.size() == 8);
  CHECK(packed.lines.front() == 1);
  CHECK(packed.lines.back() == 3);
  CHECK(std::is_sorted(packed.lines.begin(), packed.lines.end()));
  CHECK(predicted(packed.examples) == predicted(whole.examples));
  const Dataset one = load(three, *tokenizer, {.max_tokens = 1000, .packing = Packing::joined});
  REQUIRE(one.examples.size() == 1);
  std::vector<Index> all;
  for (const Example& example : whole.examples)
    all.insert(all.end(), example.input_ids.begin(), example.input_ids.end());
  CHECK(one.examples[0].input_ids == all);
}

TEST_CASE("rows of another form are cut as ever beside packed texts, and refused where all are to be joined") {
  const auto tokenizer = load_tokenizer(source_folder() / "examples/data/stories260k");
  const std::string mixed =
      three + R"({"prompt": "the cat sat on the mat and looked at the moon", "completion": " all night"})";
  const Dataset packed = load(mixed, *tokenizer, {.max_tokens = 8, .packing = Packing::each});
  CHECK(packed.rows_truncated == 1);
  CHECK(packed.lines.back() == 4);
  CHECK(packed.examples.back().input_ids.size() == 8);
  CHECK(has(error_of<DataError>([&] { load(mixed, *tokenizer, {.max_tokens = 8, .packing = Packing::joined}); }),
            "line 4: row: expected text, since all rows are to be joined (packing), got another form"));
  const DataOptions encoder{.max_tokens = 8, .target = TargetOptions{}, .packing = Packing::each};
  CHECK(has(error_of<ConfigError>([&] { load(three, *tokenizer, encoder); }), "packing: expected none for an encoder"));
  CHECK(parse_packing("joined") == Packing::joined);
  CHECK(has(error_of<UsageError>([] { parse_packing("all"); }), "expected none, each or joined, got all"));
}
