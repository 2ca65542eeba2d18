#include "greentrainer/tokenizers/gguf_tokenizer.hpp"

#include <doctest/doctest.h>

#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/model_files.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/gguf_bytes.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "tokenizers/golden_lines.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path root = source_folder();

ModelFiles files_of(const std::filesystem::path& file) { return {file, gguf_tokenizer_files(GgufFile(file))}; }

std::shared_ptr<const Tokenizer> tokenizer_of(const std::filesystem::path& file) {
  return load_tokenizer(files_of(file));
}

const std::vector<std::string> awkward = {
    "",
    " ",
    "Once upon a time, there was a little girl.",
    "  two spaces\n\n\tand a tab  ",
    "1234567 and 3.14",
    "na\xC3\xAFve \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80",
    "<s>hello</s> world",
    "<|im_start|>user\nHi<|im_end|>",
    "it's THEY'RE we'll \xE2\x80\x99s",
    "a_b __init__(self): # x+=1",
    "e\xCC\x81 composed or not: \xC3\xA9",
};

void expect_equal(const Tokenizer& a, const Tokenizer& b) {
  for (const std::string& line : awkward) {
    CAPTURE(line);
    const std::vector<Index> ids = a.encode_sequence(line);
    CHECK(ids == b.encode_sequence(line));
    CHECK(a.decode(ids) == b.decode(ids));
  }
  CHECK(a.bos_id() == b.bos_id());
  CHECK(a.eos_id() == b.eos_id());
  CHECK(a.vocab_size() == b.vocab_size());
}

/// A byte-level vocabulary of three tokens, and one control token.
struct Keys {
  std::string model = "gpt2";
  std::string pre = "gpt-2";
  std::vector<std::string> tokens = {"a", "b", "ab", "<end>"};
  std::vector<std::int32_t> types = {1, 1, 1, 3};
  std::uint32_t eos = 3;
  std::vector<std::pair<std::string, bool>> flags = {};
  std::vector<std::pair<std::string, std::string>> texts = {};

  std::filesystem::path write(const TemporaryFolder& folder) const {
    GgufBytes file(0, 5 + (pre.empty() ? 0 : 1) + flags.size() + texts.size());
    file.pair("tokenizer.ggml.model", model);
    if (!pre.empty()) file.pair("tokenizer.ggml.pre", pre);
    const auto list = [&](const char* key, const std::vector<std::string>& values) {
      file.key(key, GgufBytes::array).number(GgufBytes::string).number(std::uint64_t{values.size()});
      for (const std::string& value : values) file.text(value);
    };
    list("tokenizer.ggml.tokens", tokens);
    list("tokenizer.ggml.merges", {"a b"});
    file.key("tokenizer.ggml.token_type", GgufBytes::array).number(GgufBytes::i32).number(std::uint64_t{types.size()});
    for (const std::int32_t type : types) file.number(type);
    file.pair("tokenizer.ggml.eos_token_id", GgufBytes::u32, eos);
    for (const auto& [key, value] : flags) file.pair(key, GgufBytes::boolean, static_cast<std::uint8_t>(value));
    for (const auto& [key, value] : texts) file.pair(key, value);
    return folder.write("keys.gguf", file.bytes());
  }
  std::shared_ptr<const Tokenizer> load() const {
    const TemporaryFolder folder;
    return tokenizer_of(write(folder));
  }
  std::string error() const {
    return error_of<Error>([&] { load(); });
  }
};

}  // namespace

TEST_CASE("a SentencePiece tokenizer of a GGUF file gives the ids and texts of the folder that it was made of") {
  const auto ours = tokenizer_of(root / "tests/golden/gguf/stories260k.gguf");
  compare_with_golden_lines(files_of(root / "tests/golden/gguf/stories260k.gguf"), "stories260k");
  expect_equal(*ours, *load_tokenizer(root / "examples/data/stories260k"));
  CHECK(ours->adds_bos());
  REQUIRE(ours->chat_templates().size() == 1);
  CHECK(ours->chat_templates()[0].jinja == "{% for m in messages %}{{ m.content }}{% endfor %}");
}

TEST_CASE("a byte-level tokenizer of a GGUF file gives the ids and texts of the folder that it was made of") {
  const auto ours = tokenizer_of(root / "tests/golden/gguf/llama3.gguf");
  compare_with_golden_lines(files_of(root / "tests/golden/gguf/llama3.gguf"), "byte-bpe-digits");
  CHECK_FALSE(ours->adds_bos());
}

TEST_CASE("the pre-tokenizer's name decides how words are cut; another name is refused, and so is none") {
  Keys keys;
  CHECK(keys.load()->encode("abba") == std::vector<Index>{2, 1, 0});
  for (const char* known : {"gpt-2", "phi-2", "smollm", "starcoder", "refact", "llama-bpe", "qwen2"}) {
    keys.pre = known;
    CHECK(keys.error().empty());
  }
  keys.pre = "default";
  CHECK(has(keys.error(), "keys.gguf, metadata tokenizer.ggml.pre: expected one of gpt-2, phi-2, smollm"));
  keys.pre = "";
  CHECK(has(keys.error(), "got nothing; another pre-tokenizer would give other ids without an error"));
}

TEST_CASE("BOS and EOS are added where a flag says so; without one, BOS where llama.cpp adds it") {
  Keys keys{.texts = {}};
  CHECK(keys.load()->encode_sequence("ab") == std::vector<Index>{2});
  keys.flags = {{"tokenizer.ggml.add_eos_token", true}};
  CHECK(keys.load()->encode_sequence("ab") == std::vector<Index>{2, 3});
  keys.flags = {{"tokenizer.ggml.add_bos_token", true}};
  CHECK(has(keys.error(), "metadata tokenizer.ggml.add_bos_token: expected a token to add, got none"));
}

TEST_CASE("control tokens in a text are found, and left out of decoded text; so are user-defined ones, which are not") {
  Keys keys;
  CHECK(keys.load()->encode("ab<end>a") == std::vector<Index>{2, 3, 0});
  CHECK(keys.load()->decode(std::vector<Index>{2, 3, 0}) == "aba");
  keys.tokens.push_back("<user>");
  keys.types.push_back(4);
  CHECK(keys.load()->encode("ab<user>a<end>") == std::vector<Index>{2, 4, 0, 3});
  CHECK(keys.load()->decode(std::vector<Index>{2, 4, 0, 3}) == "ab<user>a");
}

TEST_CASE("chat templates: one, or several with names") {
  Keys keys{.texts = {{"tokenizer.chat_template", "{{ messages }}"}}};
  REQUIRE(keys.load()->chat_templates().size() == 1);
  CHECK(keys.load()->chat_templates()[0].name == "default");
  CHECK(keys.load()->chat_templates()[0].jinja == "{{ messages }}");
}

TEST_CASE("damaged and unknown tokenizers are refused by key") {
  const auto error = [](const auto& change) {
    Keys keys;
    change(keys);
    return keys.error();
  };
  CHECK(
      has(error([](Keys& k) { k.model = "bert"; }), "metadata tokenizer.ggml.model: expected gpt2 or llama, got bert"));
  CHECK(has(error([](Keys& k) { k.tokens = {}; }), "tokenizer.ggml.tokens: expected tokens, got none"));
  CHECK(has(error([](Keys& k) { k.tokens[1] = "a"; }), "expected tokens that differ, got \"a\" twice"));
  CHECK(has(error([](Keys& k) { k.tokens[1] = "\xFF"; }), "metadata tokenizer.ggml.tokens: expected a text in UTF-8"));
  CHECK(has(error([](Keys& k) { k.tokens[1] = ""; }), "expected a token, got an empty text"));
  CHECK(has(error([](Keys& k) { k.types.pop_back(); }), "token_type: expected one for each of 4 tokens, got 3"));
  CHECK(has(error([](Keys& k) { k.eos = 4; }), "eos_token_id: expected an id from 0 to 3, got 4"));
  CHECK(has(error([](Keys& k) { k.tokens[2] = "xy"; }), "expected parts and whole in the vocabulary, got \"ab\""));
  CHECK(has(error([](Keys& k) {
              k.texts = {{"tokenizer.ggml.magic", "x"}};
            }),
            "metadata tokenizer.ggml.magic: expected a key whose meaning is known"));
}
