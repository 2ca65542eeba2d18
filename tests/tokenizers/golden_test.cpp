// No difference from Hugging Face tokenizers (tests/golden/README.md). The whole comparison, over tens of thousands of
// lines, is compare_with_goldens.cpp's.

#include <doctest/doctest.h>

#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "tokenizers/golden_lines.hpp"

using namespace greentrainer;
using greentrainer::testing::compare_with_golden_lines;
using greentrainer::testing::TemporaryFolder;

namespace {

const std::filesystem::path root = testing::source_folder();
const std::filesystem::path tokenizers = root / "tests/golden/tokenizers";

}  // namespace

TEST_CASE("the embedded model's SentencePiece-style BPE has the ids of tokenizers") {
  compare_with_golden_lines(root / "examples/data/stories260k", "stories260k");
}

TEST_CASE("byte-level BPE with SmolLM2's pre-tokeniser, from tokenizer.json") {
  compare_with_golden_lines(tokenizers / "byte-bpe", "byte-bpe-digits");
}

TEST_CASE("byte-level BPE from vocab.json and merges.txt") {
  // The folder holds tokenizer.json too, which would be preferred.
  const TemporaryFolder folder;
  for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    std::filesystem::copy_file(tokenizers / "byte-bpe" / file, folder / file);
  }
  compare_with_golden_lines(folder.path(), "byte-bpe");
}

TEST_CASE("BLOOM's byte-level BPE: a pattern with brackets within brackets") {
  compare_with_golden_lines(tokenizers / "bloom", "bloom");
}

TEST_CASE("T5's Unigram has the ids of tokenizers when it is read from tokenizer.json") {
  compare_with_golden_lines(tokenizers / "unigram", "unigram");
}

TEST_CASE("T5's Unigram has the ids of tokenizers when it is read from spiece.model alone") {
  const TemporaryFolder folder;
  std::filesystem::copy_file(tokenizers / "unigram/spiece.model", folder / "spiece.model");
  compare_with_golden_lines(folder.path(), "unigram");
}

TEST_CASE("Unigram with byte fallback, not cut at white space, decoded in steps") {
  compare_with_golden_lines(tokenizers / "unigram-bytes", "unigram-bytes");
}

TEST_CASE("T5's special tokens are the same from either file, and EOS ends a sequence") {
  const TemporaryFolder folder;
  std::filesystem::copy_file(tokenizers / "unigram/spiece.model", folder / "spiece.model");
  for (const auto& path : {tokenizers / "unigram", folder.path()}) {
    CAPTURE(path);
    const auto tokenizer = load_tokenizer(path);
    CHECK(tokenizer->vocab_size() == 1000);
    CHECK(tokenizer->pad_id() == 0);
    CHECK(tokenizer->eos_id() == 1);
    CHECK(tokenizer->unk_id() == 2);
    CHECK_FALSE(tokenizer->bos_id().has_value());
    CHECK(tokenizer->id("<extra_id_0>") == 999);
    CHECK(tokenizer->id("<extra_id_99>") == 900);
    auto ids = tokenizer->encode("a text");
    CHECK(tokenizer->decode(ids) == "a text");
    ids.push_back(1);
    CHECK(tokenizer->adds_eos());
    CHECK(tokenizer->encode_sequence("a text") == ids);
    CHECK(tokenizer->decode(ids) == "a text");
  }
}

TEST_CASE("tokenizer_config.json says how many extra ids follow the pieces of spiece.model") {
  const TemporaryFolder folder;
  std::filesystem::copy_file(tokenizers / "unigram/spiece.model", folder / "spiece.model");
  folder.write("tokenizer_config.json", R"({"extra_ids": 7, "tokenizer_class": "T5Tokenizer"})");
  const auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->vocab_size() == 907);
  CHECK(tokenizer->encode("<extra_id_6>") == std::vector<Index>{900});
}
