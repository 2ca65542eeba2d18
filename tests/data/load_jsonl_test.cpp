// What becomes of rows: joining, truncation, labels, and errors that name file and line.

#include "greentrainer/data/load_jsonl.hpp"

#include <fstream>

#include <doctest/doctest.h>

#include "greentrainer/data/batch_sampler.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

const std::filesystem::path root = testing::source_folder();

Dataset load(const std::string& contents, const Tokenizer* tokenizer, const DataOptions& options = {}) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("greentrainer_data_" + std::to_string(std::hash<std::string>{}(contents)) + ".jsonl");
  std::ofstream(path, std::ios::binary) << contents;
  struct Remove {
    std::filesystem::path path;
    ~Remove() { std::filesystem::remove(path); }
  } remove{path};
  return load_jsonl(path, tokenizer, options);
}

std::string error_of(const std::string& contents, const Tokenizer* tokenizer, const DataOptions& options = {}) {
  try {
    load(contents, tokenizer, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("prompt and completion are tokenised as one text; BOS in front, EOS behind, loss on the completion") {
  const auto tokenizer = load_tokenizer(root / "examples/data/stories260k");
  const auto data = load(R"({"prompt": "Once upon", "completion": " a time"})", tokenizer.get());
  std::vector<Index> ids = {*tokenizer->bos_id()};
  for (const Index id : tokenizer->encode("Once upon a time")) ids.push_back(id);
  ids.push_back(*tokenizer->eos_id());
  std::vector<Index> labels = ids;
  std::fill_n(labels.begin(), 1 + tokenizer->encode("Once upon").size(), ignore_label);
  REQUIRE(data.examples.size() == 1);
  CHECK(data.examples[0].input_ids == ids);
  CHECK(data.examples[0].labels == labels);
}

TEST_CASE("truncation cuts the front of the prompt or its end, never BOS or the completion, and is counted") {
  const auto tokenizer = load_tokenizer(root / "examples/data/stories260k");
  const std::string row = R"({"prompt": "the cat sat on the mat and looked at the moon", "completion": " all night"})";
  const auto whole = load(row, tokenizer.get()).examples[0];
  const auto completion =
      std::count_if(whole.labels.begin(), whole.labels.end(), [](Index label) { return label != ignore_label; });
  const auto cut = load(row, tokenizer.get(), {.max_tokens = completion + 3});
  CHECK(cut.rows_truncated == 1);
  REQUIRE(cut.examples.size() == 1);
  CHECK(static_cast<Extent>(cut.examples[0].input_ids.size()) == completion + 3);
  CHECK(cut.examples[0].input_ids.front() == *tokenizer->bos_id());
  CHECK(
      std::equal(whole.input_ids.end() - completion - 2, whole.input_ids.end(), cut.examples[0].input_ids.begin() + 1));
  CHECK(cut.first_truncated_line == 1);
  const auto by_end =
      load(row, tokenizer.get(), {.max_tokens = completion + 3, .truncation = Truncation::end}).examples[0];
  CHECK(std::equal(whole.input_ids.begin(), whole.input_ids.begin() + 3, by_end.input_ids.begin()));
  CHECK(std::equal(whole.input_ids.end() - completion, whole.input_ids.end(), by_end.input_ids.begin() + 3));
  const DataOptions refusing{.max_tokens = completion + 3, .truncation = Truncation::refuse};
  CHECK(error_of(row, tokenizer.get(), refusing).find("line 1: prompt: expected at most 3 tokens, got ") !=
        std::string::npos);
  const auto both =
      load(row + "\n" + R"({"prompt": "a", "completion": "b"})", tokenizer.get(), {.max_tokens = completion - 1});
  CHECK(both.rows_dropped == 1);
  CHECK(both.lines == std::vector<Extent>{2});
}

TEST_CASE("a range of rows counts those that are not blank, and nothing outside it is read") {
  const std::string rows =
      "no JSON at all\n\n{\"text\": \"one cat\"}\n{\"text\": \"two cats\"}\n\n{\"text\": \"three cats\"}\nnor here\n";
  const auto tokenizer = load_tokenizer(root / "examples/data/stories260k");
  CHECK(load(rows, tokenizer.get(), {.rows = {1, 4}}).lines == std::vector<Extent>{3, 4, 6});
  CHECK(load(rows, tokenizer.get(), {.rows = {2, 3}}).lines == std::vector<Extent>{4});
  CHECK(error_of(rows, tokenizer.get()).find("line 1") != std::string::npos);
  CHECK(error_of(rows, tokenizer.get(), {.rows = {3, 100}}).find("line 7") != std::string::npos);
  CHECK(error_of(rows, tokenizer.get(), {.rows = {5, 100}})
            .find("expected at least one row from row 5 on, counted from 0, got none") != std::string::npos);
  const std::string labelled = "good\t1\nbad\t0\nfine\t1\n";
  CHECK(load(labelled, tokenizer.get(), {.dataset = "uci_sentiment", .rows = {1, 3}}).lines ==
        std::vector<Extent>{2, 3});
  CHECK(load(labelled, tokenizer.get(), {.dataset = "uci_sentiment", .rows = {2, 2000}}).lines ==
        std::vector<Extent>{3});
}

TEST_CASE("plain text carries loss everywhere and loses its end") {
  const auto tokenizer = load_tokenizer(root / "examples/data/stories260k");
  const auto data = load(R"({"text": "one two three four five six seven"})", tokenizer.get(), {.max_tokens = 5});
  CHECK(data.rows_truncated == 1);
  CHECK(data.examples[0].input_ids.size() == 5);
  CHECK(data.examples[0].labels[1] == data.examples[0].input_ids[1]);
}

TEST_CASE("ChatML: loss on the assistant's words and its end mark") {
  const auto tokenizer = load_tokenizer(root / "tests/golden/tokenizers/byte-bpe");
  const auto data = load(
      R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]})", tokenizer.get());
  std::vector<Index> labelled;
  for (const Index label : data.examples[0].labels) {
    if (label != ignore_label) labelled.push_back(label);
  }
  auto expected = tokenizer->encode("Yes<|im_end|>");
  CHECK(labelled == expected);
  const auto llama = load_tokenizer(root / "examples/data/stories260k");
  CHECK(error_of(R"({"messages": [{"role": "user", "content": "Hi"}]})", llama.get()).find("ChatML") !=
        std::string::npos);
}

TEST_CASE("known data sets are read in their own form") {
  const auto tokenizer = load_tokenizer(root / "examples/data/stories260k");
  const auto original =
      load_jsonl(root / "examples/data/scitldr/scitldr-original.jsonl", *tokenizer, {.dataset = "scitldr"});
  CHECK(original.rows == 20);
  CHECK(original.examples.size() == 20);
  CHECK_THROWS_AS(load_jsonl(root / "examples/data/scitldr/scitldr-original.jsonl", *tokenizer, {.dataset = "scitdlr"}),
                  UsageError);
}

TEST_CASE("rows without a label that can be predicted are dropped and counted") {
  const auto data =
      load("{\"input_ids\": [1, 2], \"labels\": [1, -100]}\n{\"input_ids\": [1, 2], \"labels\": [-100, 2]}\n\n",
           nullptr, {.vocabulary = 3});
  CHECK(data.rows == 2);
  CHECK(data.rows_dropped == 1);
  CHECK(data.examples.size() == 1);
}

TEST_CASE("bad lines name file and line") {
  const auto bad = [](const std::string& line) {
    return error_of("{\"input_ids\": [1, 2], \"labels\": [1, 2]}\n" + line, nullptr, {.vocabulary = 3});
  };
  for (const char* line :
       {"{\"input_ids\": [1, 2]", "[1]", "{\"input_ids\": [1, 3], \"labels\": [1, 3]}",
        "{\"input_ids\": [1, 2], \"labels\": [1]}", "{\"input_ids\": [1.5, 2], \"labels\": [1, 2]}",
        "{\"input_ids\": [1, 99999999999], \"labels\": [1, 2]}", "{\"other\": 1}", "{\"text\": \"no tokenizer\"}",
        "{\"input_ids\": \"1 2\", \"labels\": [1, 2]}", "{\"input_ids\": [-1, 2], \"labels\": [1, 2]}"}) {
    CAPTURE(line);
    const std::string error = bad(line);
    CAPTURE(error);
    CHECK(error.starts_with("[load_jsonl] "));
    CHECK(error.find(".jsonl, line 2: ") != std::string::npos);
  }
  CHECK(error_of("", nullptr).find("at least one row") != std::string::npos);
}

TEST_CASE("collate shifts labels within each example") {
  const std::vector<Example> examples = {{{5, 6, 7}, {ignore_label, ignore_label, 7}, {}}, {{8, 9}, {8, 9}, {}}};
  const std::vector<std::size_t> indices = {1, 0};
  const Batch batch = collate(examples, indices);
  CHECK(batch.decoder.ids == std::vector<Index>{8, 9, 5, 6, 7});
  CHECK(batch.decoder.positions == std::vector<Index>{0, 1, 0, 1, 2});
  CHECK(batch.decoder.offsets == std::vector<Index>{0, 2, 5});
  CHECK(batch.label_rows == std::vector<Index>{0, 3});
  CHECK(batch.labels == std::vector<Index>{9, 7});
  CHECK_THROWS_AS(collate(std::vector<Example>{{{1, 2}, {1}, {}}}, std::vector<std::size_t>{0}), DataError);
}

TEST_CASE("the sampler shows every example once an epoch, in an order of seed and epoch") {
  const BatchSampler sampler(10, 4, 3, true);
  CHECK(sampler.steps_per_epoch() == 3);
  std::vector<std::size_t> first, second;
  for (Extent s = 0; s < 3; ++s) {
    for (const auto i : sampler.batch_indices(s)) first.push_back(i);
    for (const auto i : sampler.batch_indices(s + 3)) second.push_back(i);
  }
  CHECK(first != second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  CHECK(first == second);
  CHECK(first.size() == 10);
  CHECK(sampler.batch_indices(2).size() == 2);
  CHECK(BatchSampler(10, 4, 3, true).batch_indices(4) == sampler.batch_indices(4));
  CHECK(BatchSampler(10, 4, 4, true).batch_indices(4) != sampler.batch_indices(4));
  CHECK(BatchSampler(10, 4, 3, false).batch_indices(1) == std::vector<std::size_t>{4, 5, 6, 7});
}
