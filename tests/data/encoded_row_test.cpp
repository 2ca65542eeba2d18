// Rows of ids as transformers' collators write them: padding goes by its mask, positions must be those of the row.

#include "greentrainer/data/encoded_row.hpp"

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::has;

namespace {

using Ids = std::vector<Index>;
const TargetOptions target{.shift = {.start = 7, .pad = 0}, .max_tokens = 4};

Dataset load(const std::string& row, const DataOptions& options = {.vocabulary = 50}) {
  const testing::TemporaryFolder folder;
  return load_jsonl(folder.write("rows.jsonl", row), nullptr, options);
}
std::string error_of(const std::string& row, const DataOptions& options = {.vocabulary = 50}) {
  return testing::error_of<DataError>([&] { load(row, options); });
}

}  // namespace

TEST_CASE("padding on either side goes, with its labels and positions") {
  const Example bare = load(R"({"input_ids": [5, 6, 7], "labels": [-100, 6, 7]})").examples.at(0);
  for (
      const char* row :
      {R"({"input_ids": [5, 6, 7, 9, 9], "labels": [-100, 6, 7, -100, -100], "attention_mask": [1, 1, 1, 0, 0]})",
       R"({"input_ids": [9, 9, 5, 6, 7], "labels": [-100, -100, -100, 6, 7], "attention_mask": [0, 0, 1, 1, 1]})",
       R"({"input_ids": [9, 5, 6, 7, 9], "labels": [-100, -100, 6, 7, -100], "attention_mask": [false, true, true, true, false],
            "position_ids": [1, 0, 1, 2, 1]})",
       R"({"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "attention_mask": [1, 1, 1], "position_ids": [0, 1, 2]})"}) {
    CAPTURE(row);
    std::string line = row;
    std::erase(line, '\n');
    const Dataset data = load(line);
    CHECK(data.examples.at(0).input_ids == bare.input_ids);
    CHECK(data.examples[0].labels == bare.labels);
    CHECK(data.rows_truncated == 0);
  }
}

TEST_CASE("masks with holes, of another length, or over labels are refused by name") {
  const auto masked = [](const std::string& mask, const std::string& labels = "[-100, 6, -100]") {
    return error_of(R"({"input_ids": [5, 6, 7], "labels": )" + labels + R"(, "attention_mask": )" + mask + "}");
  };
  CHECK(has(masked("[1, 0, 1]"), "line 1: field \"attention_mask\": expected zeros in front and behind alone"));
  CHECK(has(masked("[1, 1]"), "field \"attention_mask\": expected 3 numbers, one for each token, got 2"));
  CHECK(has(masked("[0, 0, 0]", "[-100, -100, -100]"), "field \"attention_mask\": expected at least one 1, got none"));
  CHECK(has(masked("[1, 1, 2]"), "field \"attention_mask\": expected 0 or 1 for each token, got 2"));
  CHECK(has(masked("[[1, 0, 0], [1, 1, 0], [1, 1, 1]]"), "field \"attention_mask\": expected 0 or 1 for each token"));
  CHECK(has(masked("\"all\""), "field \"attention_mask\": expected 3 numbers"));
  CHECK(has(masked("[1, 1, 0]", "[-100, 6, 7]"),
            "field \"labels\": expected -100 where attention_mask is 0, got 7 at place 2"));
}

TEST_CASE("positions that are not the row's are refused: packed sequences, and those that padding has moved") {
  const auto with = [](const std::string& positions, const std::string& rest = "") {
    return error_of(R"({"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "position_ids": )" + positions + rest + "}");
  };
  CHECK(has(with("[0, 1, 0]"),
            "field \"position_ids\": expected 0, 1, 2, ... for the tokens of the row, got 0 at place 2"));
  CHECK(has(with("[0, 1]"), "field \"position_ids\": expected 0, 1, 2, ..."));
  CHECK(has(with("[0, 1, 2]", R"(, "attention_mask": [0, 1, 1])"), "field \"position_ids\""));
  CHECK(has(with("[0, \"1\", 2]"), "field \"position_ids\": expected integers"));
  CHECK(with("[0, 1, 2]").empty());
}

TEST_CASE("an encoder-decoder's source loses its padding, its target the labels without loss behind all others") {
  const DataOptions options{.vocabulary = 50, .target = target};
  const Example bare = load(R"({"input_ids": [5, 6, 1], "labels": [11, -100, 1]})", options).examples.at(0);
  for (const char* rest :
       {R"("labels": [11, -100, 1, -100, -100, -100], "attention_mask": [1, 1, 1, 0, 0])",
        R"("labels": [11, -100, 1, -100], "attention_mask": [1, 1, 1, 0, 0], "decoder_attention_mask": [1, 1, 1, 0])",
        R"("labels": [11, -100, 1, -100], "attention_mask": [1, 1, 1, 0, 0], "decoder_input_ids": [7, 11, 0, 1])"}) {
    CAPTURE(rest);
    const Example padded = load(std::string(R"({"input_ids": [5, 6, 1, 0, 0], )") + rest + "}", options).examples.at(0);
    CHECK(padded.source_ids == bare.source_ids);
    CHECK(padded.input_ids == bare.input_ids);
    CHECK(padded.labels == bare.labels);
  }
  const auto refused = [&](const std::string& rest) {
    return error_of(R"({"input_ids": [5, 6, 1], "labels": [11, 12, 1], )" + rest + "}", options);
  };
  CHECK(has(refused(R"("decoder_input_ids": [0, 11, 12])"), "field \"decoder_input_ids\": expected the labels behind"));
  CHECK(has(refused(R"("decoder_attention_mask": [1, 1, 0])"),
            "field \"labels\": expected -100 where decoder_attention_mask is 0, got 1 at place 2"));
  CHECK(has(refused(R"("attention_mask": [1, 0, 1])"), "field \"attention_mask\""));
  CHECK(has(error_of(R"({"input_ids": [5], "labels": [-100, 2], "decoder_attention_mask": [0, 1]})", options),
            "field \"decoder_attention_mask\": expected zeros behind the target alone"));
}

TEST_CASE("ids lose their end, or are refused where nothing may be cut") {
  const std::string row = R"({"input_ids": [5, 6, 7, 8], "labels": [5, 6, 7, 8]})";
  CHECK(load(row, {.max_tokens = 3, .vocabulary = 50}).examples.at(0).input_ids == Ids{5, 6, 7});
  CHECK(has(error_of(row, {.max_tokens = 3, .vocabulary = 50, .truncation = Truncation::refuse}),
            "input_ids: expected at most 3 tokens, got 4"));
  const DataOptions pairs{.max_tokens = 3, .vocabulary = 50, .target = target, .truncation = Truncation::refuse};
  CHECK(has(error_of(row, pairs), "input_ids: expected at most 3 tokens, got 4"));
  CHECK(has(error_of(R"({"input_ids": [5], "labels": [5, 6, 7, 8, 9]})", pairs),
            "labels: expected at most 4 tokens, got 5"));
}
