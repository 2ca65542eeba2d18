// GPT-2's, OPT's and T5's own vocabularies, which are too large to be checked in.

#include <sstream>

#include <doctest/doctest.h>

#include "support/paths.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"
#include "tokenizers/golden_lines.hpp"

using namespace greentrainer;
using greentrainer::testing::compare_with_golden_lines;
using greentrainer::testing::TemporaryFolder;

TEST_CASE("GPT-2's and OPT's published vocabularies give the published ids") {
  const std::filesystem::path shared = testing::shared_folder();
  if (!std::filesystem::exists(shared / "data/tokenizers/gpt2/vocab.json"))
    GREENTRAINER_SKIP("no GREENTRAINER_SHARED with data/tokenizers");
  compare_with_golden_lines(shared / "data/tokenizers/gpt2", "gpt2");
  compare_with_golden_lines(shared / "data/tokenizers/opt", "opt");

  const auto tokenizer = load_tokenizer(shared / "data/tokenizers/gpt2");
  std::ifstream file(shared / "data/tokenizers/gpt2/test_vectors.txt");
  std::size_t vectors = 0;
  for (std::string line; std::getline(file, line);) {
    const auto arrow = line.rfind(" => ");
    if (arrow == std::string::npos) continue;
    std::vector<Index> expected;
    std::istringstream ids(line.substr(arrow + 4));
    for (std::string id; std::getline(ids, id, ',');) expected.push_back(static_cast<Index>(std::stol(id)));
    CAPTURE(line);
    CHECK(tokenizer->encode(line.substr(0, arrow)) == expected);
    ++vectors;
  }
  CHECK(vectors == 100);
}

TEST_CASE("T5's published tokenizer, from tokenizer.json and from spiece.model") {
  const std::filesystem::path published = testing::shared_folder() / "data/tokenizers/t5";
  if (!std::filesystem::exists(published / "spiece.model"))
    GREENTRAINER_SKIP("no GREENTRAINER_SHARED with data/tokenizers/t5");
  const TemporaryFolder folder;
  std::filesystem::copy_file(published / "spiece.model", folder / "spiece.model");
  for (const auto& path : {published, folder.path()}) {
    CAPTURE(path);
    compare_with_golden_lines(path, "t5");
    const auto tokenizer = load_tokenizer(path);
    CHECK(tokenizer->vocab_size() == 32100);
    // As in the T5 documentation of transformers.
    CHECK(tokenizer->encode_sequence("translate English to German: The house is wonderful.") ==
          std::vector<Index>{13959, 1566, 12, 2968, 10, 37, 629, 19, 1627, 5, 1});
  }
}
