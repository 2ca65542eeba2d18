// What rows of text become equals what TRL's SFTTrainer and transformers make of them (tests/golden/README.md).

#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "greentrainer/data/row_encoder.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/chat_model.hpp"

using namespace greentrainer;

namespace {

void compare_with_golden_rows(const std::filesystem::path& folder, const std::string& name, std::size_t expected) {
  const auto tokenizer = load_tokenizer(folder);
  const RowEncoder encoder(tokenizer.get(), {});
  std::ifstream file(testing::source_folder() / "tests/golden/texts" / (name + ".jsonl"));
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    CAPTURE(line);
    Json row = parse_json(line, name);
    const auto ids = row.at("input_ids").get<std::vector<Index>>(), labels = row.at("labels").get<std::vector<Index>>();
    row.erase("input_ids");
    row.erase("labels");
    Dataset data;
    encoder.add(row, 1, data);
    REQUIRE(data.examples.size() == 1);
    CHECK(data.examples[0].input_ids == ids);
    // The first label is not predicted.
    CHECK(std::equal(labels.begin() + 1, labels.end(), data.examples[0].labels.begin() + 1,
                     data.examples[0].labels.end()));
  }
  CHECK(lines == expected);
}

}  // namespace

TEST_CASE("prompts, completions and texts by a SentencePiece-style tokenizer") {
  compare_with_golden_rows(testing::source_folder() / "examples/data/stories260k", "stories260k", 29);
}

TEST_CASE("prompts, completions, texts and conversations by byte-level BPE") {
  compare_with_golden_rows(testing::source_folder() / "tests/golden/tokenizers/byte-bpe", "byte-bpe", 33);
}

TEST_CASE("the same by a SentencePiece-style tokenizer with ChatML's markers") {
  const testing::TemporaryFolder folder;
  compare_with_golden_rows(testing::write_chat_model(folder), "chat-stories", 33);
}
