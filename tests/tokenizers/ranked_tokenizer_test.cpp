// Files that list tokens by rank, Mistral's tekken.json and tiktoken's lines, against mistral-common and tiktoken
// (tests/golden/make_ranked_goldens.py), and as a stranger might hand them over.

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "tokenizers/written_files.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path tokenizers = testing::source_folder() / "tests/golden/tokenizers";

void compare_with_library(const std::string& name) {
  CAPTURE(name);
  const auto tokenizer = load_tokenizer(tokenizers / name);
  std::ifstream file(tokenizers / (name + ".jsonl"));
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    const Json golden = parse_json(line, name);
    const auto input = golden.at("text").get<std::string>();
    CAPTURE(input);
    const auto ids = golden.at("ids").get<std::vector<Index>>();
    CHECK(tokenizer->encode(input) == ids);
    CHECK(tokenizer->encode_with_offsets(input).ids == ids);
    CHECK(tokenizer->decode(ids, false) == golden.value("decoded", input));
  }
  CHECK(lines >= 200);
}

Json ranked_token(std::string_view bytes, std::size_t rank) {
  return {{"rank", rank}, {"token_bytes", base64(bytes)}, {"token_str", nullptr}};
}

/// Three special tokens, one of them without a name, all bytes, "ab" and "aba".
Json small_tekken() {
  Json vocabulary = Json::array();
  for (int byte = 0; byte < 256; ++byte)
    vocabulary.push_back(ranked_token(std::string(1, static_cast<char>(byte)), vocabulary.size()));
  for (const char* token : {"ab", "aba"}) vocabulary.push_back(ranked_token(token, vocabulary.size()));
  return {{"config",
           {{"pattern", "[^ ]+| "},
            {"num_vocab_tokens", 258},
            {"default_vocab_size", 261},
            {"default_num_special_tokens", 3},
            {"version", "v11"}}},
          {"vocab", vocabulary},
          {"special_tokens",
           {{{"rank", 0}, {"token_str", "<s>"}, {"is_control", true}},
            {{"rank", 1}, {"token_str", "</s>"}, {"is_control", true}}}}};
}

std::string small_tiktoken() {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte)
    lines += base64(std::string(1, static_cast<char>(byte))) + " " + std::to_string(byte) + "\n";
  return lines + base64("ab") + " 256\n" + base64("aba") + " 257\n";
}

/// The error of a folder with this file, which must come soon.
std::string error_with(const TemporaryFolder& folder, std::string_view file, std::string_view bytes) {
  folder.write(file, bytes);
  const auto start = std::chrono::steady_clock::now();
  auto error = error_of<LoadError>([&] { load_tokenizer(folder.path()); });
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));  // under sanitizers too
  return error;
}

}  // namespace

TEST_CASE("tekken.json has the ids of mistral-common, and its special tokens those of transformers") {
  compare_with_library("tekken");
}

TEST_CASE("a tiktoken file has the ids of tiktoken") {
  compare_with_library("tiktoken");
  compare_with_library("tiktoken-random");  // where many pairs of neighbours make up the same token
}

TEST_CASE("a sequence of tekken.json begins with <s>, and tokens beyond default_vocab_size do not count") {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true})");  // as mistral-common: no
  Json json = small_tekken();
  folder.write("tekken.json", json.dump());
  auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->vocab_size() == 261);
  CHECK(tokenizer->bos_id() == 0);
  CHECK(tokenizer->eos_id() == 1);
  CHECK_FALSE(tokenizer->pad_id().has_value());
  CHECK(tokenizer->encode_sequence("aba ab") == std::vector<Index>{0, 260, 3 + ' ', 259});
  CHECK(tokenizer->encode("<SPECIAL_2>ab</s>") == std::vector<Index>{2, 259, 1});
  CHECK(tokenizer->decode(std::vector<Index>{0, 259, 1}, true) == "ab");
  CHECK(tokenizer->chat_templates().empty());
  json["config"]["default_vocab_size"] = 260;
  folder.write("tekken.json", json.dump());
  tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->vocab_size() == 260);
  CHECK(tokenizer->encode("aba") == std::vector<Index>{259, 3 + 'a'});
}

TEST_CASE("special tokens are not made of text: ranks alone merge") {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"split_special_tokens": true})");
  Json json = small_tekken();
  json["config"]["default_vocab_size"] = 263;
  for (const char* token : {"<s", "/s"}) json["vocab"].push_back(ranked_token(token, json["vocab"].size()));
  folder.write("tekken.json", json.dump());
  CHECK(load_tokenizer(folder.path())->encode("<s>") == std::vector<Index>{261, 3 + '>'});
}

TEST_CASE("a tekken.json of an old version has the special tokens that mistral-common knows") {
  const TemporaryFolder folder;
  Json json = read_json_file(tokenizers / "tekken/tekken.json");
  json.erase("special_tokens");
  CHECK(error_with(folder, "tekken.json", json.dump()).empty());
  const auto named = load_tokenizer(tokenizers / "tekken"), known = load_tokenizer(folder.path());
  for (Index id = 0; id < 30; ++id) CHECK(known->token(id) == named->token(id));
  CHECK(named->unk_id() == 0);
  CHECK(named->pad_id() == 11);
  json["config"]["version"] = "v11";
  CHECK(has(error_with(folder, "tekken.json", json.dump()), "expected special_tokens"));
}

TEST_CASE("what a tiktoken file does not say is in the files beside it") {
  const auto tokenizer = load_tokenizer(tokenizers / "tiktoken");
  const Index ranks = *tokenizer->id("<|begin|>");
  CHECK(tokenizer->id("<|end|>") == ranks + 1);
  CHECK(tokenizer->token(ranks + 2) == "<|reserved_token_" + std::to_string(ranks + 2) + "|>");
  CHECK(tokenizer->id("<|turn|>") == ranks + 3);
  CHECK(tokenizer->vocab_size() == ranks + 4);
  CHECK(tokenizer->eos_id() == ranks + 1);
  CHECK(tokenizer->encode_sequence("").front() == ranks);

  const TemporaryFolder folder;
  folder.write("tokenizer.model", small_tiktoken());
  CHECK(has_tokenizer(folder.path()));
  CHECK(load_tokenizer(folder.path())->encode("aba ab") == std::vector<Index>{257, ' ', 256});
  folder.write("config.json", R"({"model_type": "llama", "eos_token_id": 258})");
  CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "eos_token_id"));
  folder.write("config.json", R"({"model_type": "qwen3"})");
  CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "qwen3"));
  folder.write("config.json", "{}");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})");
  CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "Qwen2Tokenizer"));
  for (const char* id : {"999999999", "3"}) {
    folder.write("tokenizer_config.json",
                 text(R"({"added_tokens_decoder": {")", id, R"(": {"content": "<x>", "special": true}}})"));
    CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "<x>"));
  }
}

TEST_CASE(
    "tokenizer.json counts before tekken.json, and that before a tiktoken file; SentencePiece's is no such file") {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", small_spiece_model());
  CHECK_FALSE(has_tokenizer(folder.path()));
  folder.write("tokenizer.model", small_tiktoken());
  CHECK(load_tokenizer(folder.path())->vocab_size() == 258);
  folder.write("tekken.json", small_tekken().dump());
  CHECK(load_tokenizer(folder.path())->vocab_size() == 261);
  folder.write("tokenizer.json", small_bpe_json());
  CHECK(load_tokenizer(folder.path())->vocab_size() == 5);
}

TEST_CASE("mistakes in tekken.json are refused by place") {
  const TemporaryFolder folder;
  const auto check = [&](const char* at, const Json& value, std::string_view says) {
    Json json = small_tekken();
    json[Json::json_pointer(at)] = value;
    const auto error = error_with(folder, "tekken.json", json.dump());
    CAPTURE(at);
    CAPTURE(error);
    CHECK(has(error, (folder / "tekken.json").string()));
    CHECK(has(error, says));
  };
  CHECK(error_with(folder, "tekken.json", small_tekken().dump()).empty());
  check("/vocab/257/token_bytes", "YWJh!", "vocab[257]");
  check("/vocab/257/token_bytes", "YWJ", "base64");
  check("/vocab/257/token_bytes", "", "1 to 1024 bytes");
  check("/vocab/257/token_bytes", base64(std::string(1025, 'a')), "1 to 1024 bytes");
  check("/vocab/257/token_bytes", "YWI=", "vocab[257], token \"ab\"");  // twice
  check("/vocab/257/token_bytes", 7, "token_bytes");
  check("/vocab/65/token_bytes", "YWJi", "byte 65");
  check("/vocab/257/rank", 256, "expected rank 257, got 256");
  check("/vocab/257/rank", 18446744073709551615U, "18446744073709551615");
  check("/vocab/257/rank", -1, "rank");
  check("/vocab/257", "aba", "vocab[257]");
  check("/vocab", 3, "\"vocab\"");
  check("/config/pattern", "(a", "pattern");
  check("/config/pattern", 1, "pattern");
  check("/config/default_vocab_size", 262, "from 3 to 261, got 262");
  check("/config/default_vocab_size", 2, "from 3 to 261, got 2");
  check("/config/default_vocab_size", 18446744073709551615U, "default_vocab_size");
  check("/config/default_num_special_tokens", 1, "from 1 to 259, got 261");
  check("/config/default_num_special_tokens", 4294967296, "at most 65536");
  check("/config/surprise", 1, "surprise");
  check("/surprise", 1, "surprise");
  check("/special_tokens/1/rank", 0, "expected rank 1, got 0");
  check("/special_tokens/1/token_str", "<s>", "two");
  check("/special_tokens/1/token_str", "ab", "two");  // a token of the vocabulary as well
  check("/special_tokens/1/token_str", "", "1 to 1024 bytes");
  check("/special_tokens", "<s>", "special_tokens");
  Json four = Json::array();
  for (const char* token : {"<s>", "</s>", "<t>", "<u>"}) four.push_back({{"rank", four.size()}, {"token_str", token}});
  check("/special_tokens", four, "at most 3 special tokens");
  CHECK(has(error_with(folder, "tekken.json", "{\"config\": {\"pattern\": \"\xFF\"}}"), "tekken.json"));
  CHECK(has(error_with(folder, "tekken.json", "[]"), "expected an object"));
}

TEST_CASE("mistakes in a tiktoken file are refused by line") {
  const TemporaryFolder folder;
  const auto check = [&](const std::string& more, std::string_view says) {
    const auto error = error_with(folder, "tokenizer.model", small_tiktoken() + more);
    CAPTURE(more);
    CAPTURE(error);
    CHECK(has(error, (folder / "tokenizer.model").string()));
    CHECK(has(error, "line 259"));
    CHECK(has(error, says));
  };
  CHECK(error_with(folder, "tokenizer.model", small_tiktoken() + "YmE= 258\r\n\n").empty());
  check("YmE= 257\n", "rank 258");  // twice
  check("YmE= 259\n", "rank 258");  // a gap
  check("YmE= 99999999999999999999\n", "rank 258");
  check("YmE= -1\n", "rank 258");
  check("YmE= 258 x\n", "rank 258");
  check("YmE=\n", "rank 258");
  check("YmE 258\n", "base64");
  check(" 258\n", "1 to 1024 bytes");
  check("YWI= 258\n", "\"ab\"");  // twice
  check("\xFF\xFE 258\n", "base64");
  CHECK(has(error_with(folder, "tokenizer.model", "YWI= 0\n"), "byte 0"));
}

TEST_CASE("long tokens and long texts take no long time") {
  const TemporaryFolder folder;
  std::string lines = small_tiktoken();
  for (std::size_t length = 2, rank = 258; length <= 1024; ++length, ++rank)
    lines += base64(std::string(length, 'c')) + " " + std::to_string(rank) + "\n";
  CHECK(error_with(folder, "tokenizer.model", lines).empty());
  const auto tokenizer = load_tokenizer(folder.path());
  const auto start = std::chrono::steady_clock::now();
  const std::string input(100'000, 'c');
  CHECK(tokenizer->decode(tokenizer->encode(input)) == input);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}
