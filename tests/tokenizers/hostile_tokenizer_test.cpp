// Tokenizer folders that are well-formed and made to take all memory or time: every one of them is an error, soon.

#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "greentrainer/tokenizers/normalizer.hpp"
#include "greentrainer/tokenizers/precompiled_charsmap.hpp"
#include "greentrainer/tokenizers/regex.hpp"
#include "support/temporary_folder.hpp"
#include "tokenizers/written_files.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// A Sequence of `count` times the same step.
Json repeated(const char* list, const std::string& step, int count) {
  Json sequence = {{"type", "Sequence"}, {list, Json::array()}};
  for (int i = 0; i < count; ++i) sequence[list].push_back(Json::parse(step));
  return sequence;
}

/// The small tokenizer with one part replaced.
std::shared_ptr<const Tokenizer> with_part(const char* name, const Json& part) {
  const TemporaryFolder folder;
  Json json = Json::parse(small_bpe_json());
  json[name] = part;
  folder.write("tokenizer.json", json.dump());
  return load_tokenizer(folder.path());
}

std::string replace_step(const std::string& from, const std::string& to) {
  return R"({"type": "Replace", "pattern": {"String": ")" + from + R"("}, "content": ")" + to + R"("})";
}

std::string encode_error(const Tokenizer& tokenizer, std::string_view input) {
  return error_of<DataError>([&] { tokenizer.encode(input); });
}

}  // namespace

TEST_CASE("steps that double a text end before they fill the memory") {
  constexpr int steps = 24;  // 16 MiB of one byte
  const std::string twice = replace_step("a", "aa");
  CHECK(has(encode_error(*with_part("normalizer", repeated("normalizers", twice, steps)), "a"),
            "normalizer: expected at most 64 times"));
  const std::string names = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})";
  CHECK(has(encode_error(*with_part("pre_tokenizer", repeated("pretokenizers", names, steps)), "\xC3\xA9"),
            "pre_tokenizer: expected at most 64"));
  const auto decoding = with_part("decoder", repeated("decoders", twice, steps));
  CHECK(has(error_of<DataError>([&] { decoding->decode(std::vector<Index>{0}, false); }),
            "decoder: expected at most 64 times"));
}

TEST_CASE("a single step that makes a thousand times as much of a text ends too") {
  const std::string long_text(1000, 'b');
  const auto normalizing = with_part("normalizer", Json::parse(replace_step("a", long_text)));
  CHECK(has(encode_error(*normalizing, std::string(2000, 'a')),
            "normalizer: expected at most 64 times the text's 2000 bytes"));
  CHECK(normalizing->encode("a").size() == long_text.size());  // short texts may grow
  const auto decoding = with_part("decoder", Json::parse(replace_step("a", long_text)));
  CHECK(has(error_of<DataError>([&] { decoding->decode(std::vector<Index>(2000, 0), false); }),
            "decoder: expected at most 64 times"));
}

TEST_CASE("growth of the normalizer, the pre-tokenizer and the added tokens does not multiply") {
  // Each may make 64 KiB of a byte; one after the other would make gigabytes, and a stretch between added tokens 64 KiB
  // each.
  Json json = Json::parse(small_bpe_json());
  json["normalizer"] = repeated("normalizers", replace_step("a", "aa"), 14);  // 16 KiB
  json["pre_tokenizer"] = repeated("pretokenizers", R"({"type": "Metaspace", "replacement": "a"})", 1);
  for (int i = 0; i < 8; ++i) {
    json["pre_tokenizer"]["pretokenizers"].push_back(
        Json::parse(R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})"));
  }
  json["normalizer"]["normalizers"].push_back(Json::parse(replace_step("a", "\u00E9")));
  const TemporaryFolder folder;
  folder.write("tokenizer.json", json.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  CHECK(has(encode_error(*tokenizer, "a"), "pre_tokenizer: expected at most 64 times the text's 1 bytes and 64 KiB"));

  json["pre_tokenizer"] = nullptr;
  json["normalizer"] = repeated("normalizers", replace_step("a", "aa"), 15);  // 32 KiB
  folder.write("tokenizer.json", json.dump());
  const auto by_stretches = load_tokenizer(folder.path());
  CHECK(has(encode_error(*by_stretches, "a<s>a<s>a<s>a<s>a<s>a<s>a<s>a"), "expected at most"));
}

TEST_CASE("the steps of a text are counted over all words, stretches and parts") {
  // No word is long, and no stretch: each would be within the limits of a text of its own.
  const std::string runs = R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(?:a|a)+b|x"}})";
  std::string words;
  for (int i = 0; i < 2000; ++i) words += std::string(14, 'a') + "<s>";
  const auto tokenizer = with_part("pre_tokenizer", Json::parse(runs));
  CHECK(tokenizer->encode(words.substr(0, 17)).size() > 1);
  CHECK(has(encode_error(*tokenizer, words), "(?:a|a)+b|x in at most"));
}

TEST_CASE("flags take time linear in their number under normalisation rules") {
  const PrecompiledCharsmap rules(small_charsmap(), "rules");
  const detail::PrecompiledNormalizer normalizer(rules);
  const auto steps = [&](std::size_t flags) {
    std::string input;
    for (std::size_t i = 0; i < flags; ++i) input += "\U0001F1E6\U0001F1FF";
    TextBudget budget(input.size(), "test");
    CHECK(normalizer.normalize(TracedText(input), budget).text() == input);
    return budget.spent();
  };
  CHECK(steps(20000) < 3 * steps(10000));
  // 400,000 take a minute where each counts those before it; the test's own time limit would end it.
  CHECK(steps(400000) < 50 * steps(10000));
}

TEST_CASE("tokens of many bytes do not make gigabytes of a few ids") {
  const TemporaryFolder folder;
  Json json = Json::parse(small_bpe_json());
  json["model"]["vocab"]["<s>"] = 4;
  json["model"]["vocab"][std::string(100000, 'y')] = 5;
  folder.write("tokenizer.json", json.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->decode(std::vector<Index>{5}, false).size() == 100000);
  CHECK(has(error_of<DataError>([&] { tokenizer->decode(std::vector<Index>(1000, 5), false); }),
            "expected at most 1024 bytes for each of 1000 ids"));
}

TEST_CASE("added tokens of every file are short, also as the normalizer leaves them") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_bpe_json());
  const auto load_error = [&] { return error_of<LoadError>([&] { load_tokenizer(folder.path()); }); };
  const std::string longest(1024, 'x');
  folder.write("added_tokens.json", Json({{longest, 5}}).dump());
  CHECK(load_error().empty());
  folder.write("added_tokens.json", Json({{longest + "x", 5}}).dump());
  CHECK(has(load_error(), "added token with id 5: expected at most 1024 bytes, got 1025"));
  std::filesystem::remove(folder / "added_tokens.json");

  Json json = Json::parse(small_bpe_json());
  json["model"]["vocab"][longest + "x"] = 5;  // a role's name counts where the vocabulary knows it
  folder.write("tokenizer.json", json.dump());
  folder.write("special_tokens_map.json", Json({{"pad_token", longest + "x"}}).dump());
  CHECK(has(load_error(), "expected at most 1024 bytes, got 1025"));
  std::filesystem::remove(folder / "special_tokens_map.json");

  json = Json::parse(small_bpe_json());
  json["added_tokens"].push_back({{"id", 5}, {"content", "ttt"}, {"normalized", true}});
  json["normalizer"] = Json::parse(replace_step("t", std::string(1000, 't')));
  folder.write("tokenizer.json", json.dump());
  CHECK(has(load_error(), "expected at most 1024 bytes, got 3000"));
  json["normalizer"] = repeated("normalizers", replace_step("t", "tt"), 24);
  folder.write("tokenizer.json", json.dump());
  CHECK(has(load_error(), "added token \"ttt\": added_tokens, normalizer: expected at most 64 times"));
}

TEST_CASE("a Split never ends within a character") {
  const std::string split = R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "\\C"}})";
  CHECK(has(error_of<LoadError>([&] { with_part("pre_tokenizer", Json::parse(split)); }), "for \\C"));
}
