// Each normalizer, pre-tokenizer, model and decoder of tokenizer.json by itself gives the ids, the bytes of each token
// and the decoded text that Hugging Face's `tokenizers` gives.

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using testing::has;
using testing::TemporaryFolder;

namespace {

std::shared_ptr<const Tokenizer> load(const Json& tokenizer) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", tokenizer.dump());
  return load_tokenizer(folder.path());
}

std::string error_of(const Json& tokenizer, const std::string& text = "") {
  return testing::error_of<Error>([&] { load(tokenizer)->encode(text); });
}

const Json word_level = {{"type", "WordLevel"}, {"unk_token", "[UNK]"}, {"vocab", {{"a", 0}, {"b", 1}}}};

}  // namespace

TEST_CASE("ids, bytes and decoded texts of every component are those of tokenizers") {
  std::ifstream in(testing::source_folder() / "tests/golden/tokenizers/components.jsonl");
  std::string line;
  REQUIRE(std::getline(in, line));
  const Json shared = parse_json(line, "components.jsonl");
  std::size_t components = 0;
  for (; std::getline(in, line); ++components) {
    const Json golden = parse_json(line, "components.jsonl");
    const auto name = golden.at("name").get<std::string>();
    CAPTURE(name);
    Json tokenizer = golden.at("tokenizer");
    Json& vocabulary = tokenizer["model"]["vocab"] = shared.at("vocab");
    if (name.starts_with("normalizer")) {
      const std::size_t first = vocabulary.size();
      for (const auto& character : shared.at("characters"))
        vocabulary[character.get<std::string>()] = vocabulary.size();
      REQUIRE(vocabulary.size() == first + shared.at("characters").size());
    }
    const auto loaded = load(tokenizer);
    for (const Json& row : golden.at("rows")) {
      CAPTURE(row.dump());
      const EncodedText encoded = loaded->encode_with_offsets(row.at("text").get<std::string>());
      CHECK(encoded.ids == row.at("ids").get<std::vector<Index>>());
      CHECK(loaded->encode(row.at("text").get<std::string>()) == encoded.ids);
      std::vector<std::size_t> offsets;
      for (const auto& [begin, end] : encoded.offsets) offsets.insert(offsets.end(), {begin, end});
      CHECK(offsets == row.at("offsets").get<std::vector<std::size_t>>());
      if (row.contains("decoded")) CHECK(loaded->decode(encoded.ids, false) == row.at("decoded").get<std::string>());
    }
  }
  CHECK(components == 59);
}

TEST_CASE("fields that are not known and values of another form are refused by name") {
  const auto with = [](const char* part, const Json& component) {
    return error_of({{"model", word_level}, {part, component}});
  };
  CHECK(has(with("normalizer", {{"type", "NFC"}, {"x", 1}}), "expected no field \"x\" in NFC"));
  CHECK(has(with("normalizer", {{"type", "BertNormalizer"}, {"lowercase", 1}}),
            "expected true or false as \"lowercase\""));
  CHECK(has(with("pre_tokenizer", {{"type", "FixedLength"}, {"length", 0}}), "expected a length of at least 1"));
  CHECK(has(with("pre_tokenizer", {{"type", "Punctuation"}, {"behavior", "Twice"}}), "expected behavior Removed"));
  CHECK(has(with("pre_tokenizer", {{"type", "CharDelimiterSplit"}, {"delimiter", "ab"}}), "expected one character"));
  CHECK(has(with("pre_tokenizer", {{"type", "UnicodeScripts"}}), "which is not supported"));
  CHECK(has(with("decoder", {{"type", "BPEDecoder"}, {"suffix", ""}}), "expected a suffix"));
  CHECK(has(with("decoder", {{"type", "CTC"}}), "which is not supported"));
}

TEST_CASE("a word without a token is an error where the unknown token is not in the vocabulary") {
  CHECK(has(error_of({{"model", word_level}}, "c"), "expected the unknown token \"[UNK]\" in the vocabulary"));
  const Json word_piece = {{"type", "WordPiece"}, {"unk_token", "?"}, {"vocab", {{"a", 0}, {"##b", 1}}}};
  CHECK(load({{"model", word_piece}})->encode("abb") == std::vector<Index>{0, 1, 1});
  CHECK(has(error_of({{"model", word_piece}}, "abc"), "expected the unknown token \"?\" in the vocabulary"));
}

TEST_CASE("a word of WordPiece that is long beyond its limit takes time in proportion to its length") {
  Json word_piece = {{"type", "WordPiece"}, {"unk_token", "a"}, {"vocab", {{"a", 0}}}};
  CHECK(load({{"model", word_piece}})->encode(std::string(1 << 20, 'b')) == std::vector<Index>{0});
  word_piece["max_input_chars_per_word"] = 1 << 30;
  CHECK(has(error_of({{"model", word_piece}}, std::string(1 << 16, 'b')), "steps"));
}
