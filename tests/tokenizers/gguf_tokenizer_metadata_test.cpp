#include "greentrainer/tokenizers/gguf_tokenizer_metadata.hpp"

#include <filesystem>
#include <optional>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/gguf_tokenizer.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path root = source_folder();
const std::filesystem::path byte_level = root / "tests/golden/tokenizers/byte-bpe";
const std::filesystem::path stories = root / "examples/data/stories260k";

GgufTokenizerMetadata metadata_of(const ModelFiles& files, std::optional<Extent> rows = {},
                                  const std::vector<Index>& ends = {}) {
  const auto tokenizer = load_tokenizer(files);
  return gguf_tokenizer_metadata(files, *tokenizer, rows.value_or(tokenizer->vocab_size()), ends);
}

Json json_of(const GgufTokenizerMetadata& keys) { return gguf_metadata_json(keys.metadata); }

std::shared_ptr<const Tokenizer> read_again(const GgufTokenizerMetadata& keys) {
  return load_tokenizer(ModelFiles("test.gguf", gguf_tokenizer_files(json_of(keys), "test.gguf")));
}

/// A copy of a tokenizer's folder whose tokenizer.json was changed.
template <class Change>
ModelFiles changed(const TemporaryFolder& folder, const std::filesystem::path& from, const Change& change) {
  Json json = read_json_file(from / "tokenizer.json");
  change(json);
  folder.write("tokenizer.json", json.dump());
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  return folder.path();
}

}  // namespace

TEST_CASE("a tokenizer read from its metadata gives the same ids and texts") {
  for (const auto& folder : {byte_level, stories}) {
    CAPTURE(folder.string());
    const auto ours = load_tokenizer(folder);
    const GgufTokenizerMetadata keys = metadata_of(folder);
    CHECK(keys.notices.empty());
    const auto theirs = read_again(keys);
    for (const char* line : {"", " ", "Once upon a time, there was 1 girl of 12.", "  two\n\n\tand  ",
                             "na\xC3\xAFve \xE6\x97\xA5\xE6\x9C\xAC", "<|im_start|>user\nHi<|im_end|>", "it's THEY'RE",
                             "<s>", "a_b __init__(self): # x+=1"}) {
      CAPTURE(line);
      const std::vector<Index> ids = ours->encode_sequence(line);
      CHECK(theirs->encode_sequence(line) == ids);
      CHECK(theirs->decode(ids) == ours->decode(ids));
    }
    CHECK(theirs->bos_id() == ours->bos_id());
    CHECK(theirs->eos_id() == ours->eos_id());
    CHECK(theirs->adds_bos() == ours->adds_bos());
    CHECK(theirs->vocab_size() == ours->vocab_size());
  }
}

TEST_CASE("the pre-tokenizer's name is found by the ids that it gives") {
  const auto pre_of = [](const auto& change) {
    const TemporaryFolder folder;
    const Json json = json_of(metadata_of(changed(folder, byte_level, change)));
    return json.at("tokenizer.ggml.pre").template get<std::string>();
  };
  CHECK(json_of(metadata_of(byte_level)).at("tokenizer.ggml.pre") == "smollm");  // digits one by one
  const auto with_steps = [](Json steps) {
    return [steps](Json& json) { json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}}; };
  };
  const auto byte_step = [](bool pattern) -> Json {
    return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", pattern}};
  };
  const auto split = [](std::string_view pattern) -> Json {
    return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  CHECK(pre_of(with_steps({byte_step(true)})) == "gpt-2");
  CHECK(pre_of([&](Json& json) {
          with_steps({split(detail::qwen2_pattern), byte_step(false)})(json);
          json["normalizer"] = {{"type", "NFC"}};
        }) == "qwen2");
  CHECK(pre_of([&](Json& json) {
          with_steps({split(detail::llama3_pattern), byte_step(false)})(json);
          json["model"]["ignore_merges"] = true;
        }) == "llama-bpe");
  const TemporaryFolder folder;
  const ModelFiles other = changed(folder, byte_level, with_steps({split("[a-z]"), byte_step(true)}));
  CHECK(has(error_of<ConfigError>([&] { metadata_of(other); }),
            "tokenizer.json: expected a tokenizer that GGUF's readers cut texts like (pre-tokenizers gpt-2, smollm, "
            "llama-bpe, qwen2, or SentencePiece's), got one with other ids for \"Once upon a time"));
}

TEST_CASE("tokens have their types, and rows of the embedding without a token are unused") {
  const GgufTokenizerMetadata keys = metadata_of(stories, 515);
  const Json json = json_of(keys);
  const auto types = json.at("tokenizer.ggml.token_type").get<std::vector<int>>();
  REQUIRE(types.size() == 515);
  CHECK(types[0] == 2);    // <unk>
  CHECK(types[1] == 3);    // <s>
  CHECK(types[3] == 6);    // <0x00>
  CHECK(types[300] == 1);  // a piece
  CHECK(types[512] == 5);
  CHECK(json.at("tokenizer.ggml.tokens")[514] == "[PAD514]");
  CHECK(json.at("tokenizer.ggml.model") == "llama");
  CHECK_FALSE(json.contains("tokenizer.ggml.merges"));
  CHECK(read_again(keys)->encode("Once upon a time") == load_tokenizer(stories)->encode("Once upon a time"));
  CHECK(has(error_of<ConfigError>([&] { metadata_of(stories, 511); }),
            "expected at most 511 tokens, as many as the embedding has rows, got 512"));
}

TEST_CASE("added tokens that are not special are user-defined, and flags that GGUF has not are named") {
  const TemporaryFolder folder;
  const ModelFiles files = changed(folder, byte_level, [](Json& json) {
    const Json token = {{"id", 1000},      {"content", "<tool>"}, {"single_word", false}, {"lstrip", false},
                        {"rstrip", false}, {"normalized", false}, {"special", false}};
    json["added_tokens"].push_back(token);
    json["added_tokens"].push_back(token);
    json["added_tokens"].back().update({{"id", 1001}, {"content", "<mask>"}, {"lstrip", true}, {"special", true}});
  });
  const GgufTokenizerMetadata keys = metadata_of(files);
  const auto types = json_of(keys).at("tokenizer.ggml.token_type").get<std::vector<int>>();
  CHECK(types[1000] == 4);
  CHECK(types[1001] == 3);
  REQUIRE(keys.notices.size() == 1);
  CHECK(keys.notices[0] ==
        "added tokens such as <mask> (1 in all) take in spaces beside them (lstrip, rstrip); GGUF "
        "cannot say so");
  CHECK(read_again(keys)->encode("a<tool>b") == load_tokenizer(files)->encode("a<tool>b"));
}

TEST_CASE("up to three tokens that end texts have keys; more are named") {
  const GgufTokenizerMetadata keys = metadata_of(stories, {}, {5, 2, 6, 7});
  const Json json = json_of(keys);
  CHECK(json.at("tokenizer.ggml.eos_token_id") == 2);
  CHECK(json.at("tokenizer.ggml.eot_token_id") == 5);
  CHECK(json.at("tokenizer.ggml.eom_token_id") == 6);
  REQUIRE(keys.notices.size() == 1);
  CHECK(has(keys.notices[0], "token 7 ends texts too"));
}

TEST_CASE("chat templates are kept, with their names where there are several") {
  const TemporaryFolder folder;
  std::filesystem::copy(byte_level / "tokenizer.json", folder / "tokenizer.json");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": [
    {"name": "default", "template": "{{ a }}"}, {"name": "tool_use", "template": "{{ b }}"}]})");
  const auto again = read_again(metadata_of(ModelFiles(folder.path())));
  REQUIRE(again->chat_templates().size() == 2);
  CHECK(again->chat_templates()[0].jinja == "{{ a }}");
  CHECK(again->chat_templates()[1].name == "tool_use");
}

TEST_CASE("other tokenizers than BPE are refused by name") {
  CHECK(has(error_of<ConfigError>([&] { metadata_of(root / "tests/golden/tokenizers/unigram"); }),
            "tokenizer.json: expected a model of type BPE, as GGUF's tokenizers gpt2 and llama are, got Unigram"));
}

TEST_CASE("tokenizers that list tokens by rank, without merges, are refused, since GGUF lists merges") {
  for (const char* name : {"tekken", "tiktoken"}) {
    CHECK(has(error_of<ConfigError>([&] { metadata_of(root / "tests/golden/tokenizers" / name); }),
              "tokenizer.json: expected it, or vocab.json and merges.txt, got neither; GGUF files have no other"));
  }
}
