// GPT-2's and OPT's own vocabularies, which are too large to be checked in.

#include <doctest/doctest.h>

#include <sstream>

#include "support/skip.hpp"
#include "tokenizers/golden_lines.hpp"

using namespace greentrainer;
using greentrainer::testing::compare_with_golden_lines;

TEST_CASE("GPT-2's and OPT's published vocabularies") {
  const std::filesystem::path shared = GREENTRAINER_SHARED;
  if (!std::filesystem::exists(shared / "data/tokenizers/gpt2/vocab.json")) GREENTRAINER_SKIP("no GREENTRAINER_SHARED with data/tokenizers");
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
