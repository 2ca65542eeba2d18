// No difference from Hugging Face tokenizers (tests/golden/README.md). The whole comparison, over tens of thousands of lines, is
// compare_with_goldens.cpp's.

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"
#include "tokenizers/golden_lines.hpp"

using greentrainer::testing::compare_with_golden_lines;
using greentrainer::testing::TemporaryFolder;

namespace {

const std::filesystem::path root = GREENTRAINER_SOURCE_DIR;

}  // namespace

TEST_CASE("the embedded model's SentencePiece-style BPE") { compare_with_golden_lines(root / "examples/data/stories260k", "stories260k"); }

TEST_CASE("byte-level BPE with SmolLM2's pre-tokeniser, from tokenizer.json") { compare_with_golden_lines(root / "tests/golden/tokenizers/byte-bpe", "byte-bpe-digits"); }

TEST_CASE("byte-level BPE from vocab.json and merges.txt") {
  // The folder holds tokenizer.json too, which would be preferred.
  const TemporaryFolder folder;
  for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    std::filesystem::copy_file(root / "tests/golden/tokenizers/byte-bpe" / file, folder / file);
  }
  compare_with_golden_lines(folder.path(), "byte-bpe");
}
