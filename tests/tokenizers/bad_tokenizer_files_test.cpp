// Tokenizer folders as a stranger might hand them over: whatever is wrong is a LoadError that names the file and the
// entry.

#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "greentrainer/tokenizers/regex.hpp"
#include "support/temporary_folder.hpp"
#include "tokenizers/written_files.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// The error of a folder that holds these bytes as `file`.
std::string error_with(const TemporaryFolder& folder, std::string_view file, std::string_view bytes) {
  std::filesystem::remove(
      folder / file);  // file systems flush what is cut to nothing and written anew: thousands of times slower
  folder.write(file, bytes);
  return error_of<LoadError>([&] { load_tokenizer(folder.path()); });
}

/// One field of a valid file set to something else, and what the error must say.
struct BadField {
  const char* at;     // JSON pointer
  std::string value;  // JSON
  const char* says;
};

void check_bad_fields(const std::string& valid, const std::vector<BadField>& fields) {
  const TemporaryFolder folder;
  REQUIRE(error_with(folder, "tokenizer.json", valid).empty());
  for (const auto& [at, value, says] : fields) {
    Json json = Json::parse(valid);
    json[Json::json_pointer(at)] = Json::parse(value);
    const auto error = error_with(folder, "tokenizer.json", json.dump());
    CAPTURE(at);
    CAPTURE(value.substr(0, 200));
    CAPTURE(error);
    CHECK(has(error, (folder / "tokenizer.json").string()));
    CHECK(has(error, "expected"));
    CHECK(has(error, says));
  }
}

struct BadBytes {
  std::string bytes;
  const char* says;
};

void check_bad_bytes(std::string_view file, const std::vector<BadBytes>& list) {
  const TemporaryFolder folder;
  for (const auto& [bytes, says] : list) {
    const auto error = error_with(folder, file, bytes);
    CAPTURE(says);
    CAPTURE(error);
    CHECK(has(error, (folder / file).string()));
    CHECK(has(error, says));
  }
}

}  // namespace

TEST_CASE("the files that these tests break load as they are") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_bpe_json());
  auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->encode_sequence("abaab") == std::vector<Index>{4, 3, 2});
  folder.write("tokenizer.json", small_unigram_json());
  tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->encode_sequence("ab Ax") == std::vector<Index>{2, 5, 2, 3, 0, 1});
  CHECK(tokenizer->decode(tokenizer->encode("ab Aa"), false) == "ab aa");
  std::filesystem::remove(folder / "tokenizer.json");
  folder.write("spiece.model", small_spiece_model());
  tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->encode_sequence("ab Ax<extra_id_1>") == std::vector<Index>{3, 6, 3, 4, 2, 105, 1});
}

TEST_CASE("mistakes in BPE's vocabulary, merges and options are refused by name") {
  check_bad_fields(small_bpe_json(), {
                                         {"/model", "[]", "model"},
                                         {"/model", "null", "\"model\""},
                                         {"/model/type", R"("WordPiece")", "WordPiece"},
                                         {"/model/type", "3", "\"type\""},
                                         {"/model/vocab", R"([["a", 0]])", "model.vocab"},
                                         {"/model/vocab", R"({"a": 0, "b": 0})", "id 0"},
                                         {"/model/vocab/b", "-1", "\"b\""},
                                         {"/model/vocab/b", "1.5", "\"b\""},
                                         {"/model/vocab/b", R"("1")", "\"b\""},
                                         {"/model/vocab/b", "4294967296", "4294967296"},
                                         {"/model/vocab/b", "18446744073709551615", "18446744073709551615"},
                                         {"/model/vocab/b", "1000000", "1000000"},  // far beyond the number of tokens
                                         {"/model/vocab", R"({"": 0})", "empty"},
                                         {"/model/merges", R"(["a b", "a c"])", "merge 2"},
                                         {"/model/merges", R"(["b a"])", "\"ba\""},
                                         {"/model/merges", R"([["", "a"]])", "merge 1"},
                                         {"/model/merges", R"([["a", "b", "c"]])", "merge 1"},
                                         {"/model/merges", R"([["a", 1]])", "merge 1"},
                                         {"/model/merges", R"(["ab"])", "merge 1"},
                                         {"/model/merges", R"(["a b a"])", "merge 1"},
                                         {"/model/merges", R"([7])", "merge 1"},
                                         {"/model/merges", R"({"a": "b"})", "list of merges"},
                                         {"/model/unk_token", R"("<unk>")", "<unk>"},
                                         {"/model/unk_token", "0", "unk_token"},
                                         {"/model/byte_fallback", R"("yes")", "byte_fallback"},
                                         {"/model/dropout", "0.1", "dropout"},
                                         {"/model/continuing_subword_prefix", R"("##")", "continuing_subword_prefix"},
                                         {"/model/surprise", "1", "surprise"},
                                     });
}

TEST_CASE("Unigram: pieces, scores and the unknown token") {
  check_bad_fields(small_unigram_json(),
                   {
                       {"/model/vocab", R"({"a": 0})", "vocab"},
                       {"/model/vocab/3", R"("a")", "vocab[3]"},
                       {"/model/vocab/3", R"(["a"])", "vocab[3]"},
                       {"/model/vocab/3", R"(["a", 0, 1])", "vocab[3]"},
                       {"/model/vocab/3", R"(["a", "0"])", "vocab[3]"},
                       {"/model/vocab/3", R"([0, 0])", "vocab[3]"},
                       {"/model/vocab/3", R"(["a", null])", "vocab[3]"},
                       {"/model/vocab/3", R"(["", 0])", "piece 3"},
                       {"/model/vocab/3", R"(["b", 0])", "\"b\""},
                       {"/model/vocab/3", R"([")" + std::string(1025, 'a') + R"(", 0])", "piece 3"},
                       {"/model/vocab", "[]", "unk_id"},
                       {"/model/unk_id", "6", "unk_id"},
                       {"/model/unk_id", "-1", "unk_id"},
                       {"/model/unk_id", "18446744073709551615", "unk_id"},
                       {"/model/unk_id", R"("0")", "unk_id"},
                       {"/model/byte_fallback", "1", "byte_fallback"},
                       {"/model/surprise", "1", "surprise"},
                   });
}

TEST_CASE("parts around the model that are unknown, or known and wrong") {
  std::string deep = R"({"type": "WhitespaceSplit"})";
  for (int i = 0; i < 60; ++i) deep = R"({"type": "Sequence", "pretokenizers": [)" + deep + "]}";
  const auto split = [](const std::string& pattern) {
    return R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": ")" + pattern + R"("}})";
  };
  check_bad_fields(
      small_bpe_json(),
      {
          {"/normalizer", R"({"type": "Transliterate"})", "normalizer"},
          {"/normalizer", R"("NFC")", "normalizer"},
          {"/normalizer", R"({"kind": "NFC"})", "\"type\""},
          {"/normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})", "normalizer.pattern"},
          {"/normalizer", R"({"type": "Replace", "pattern": {"Regex": "a("}, "content": "x"})", "a("},
          {"/normalizer", R"({"type": "Strip", "strip_left": 1})", "strip_left"},
          {"/normalizer", R"({"type": "Sequence", "normalizers": {"type": "Strip"}})", "normalizers"},
          {"/pre_tokenizer", R"({"type": "UnicodeScripts"})", "UnicodeScripts"},
          {"/pre_tokenizer", R"({"type": "WhitespaceSplit", "surprise": 1})", "surprise"},
          {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})", "replacement"},
          {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "often"})", "often"},
          {"/pre_tokenizer/pretokenizers/0/behavior", R"("Nowhere")", "pretokenizers[0]"},
          {"/pre_tokenizer", deep, "nested"},
          {"/pre_tokenizer", split("[a"), "[a"},
          {"/pre_tokenizer", split("(a"), "(a"},
          {"/pre_tokenizer", split("a{2,1}"), "a{2,1}"},
          {"/pre_tokenizer", split("(((a{999}){999}){999})"), "regular expression"},
          {"/pre_tokenizer", split("[a[^b]]"), "within brackets"},
          {"/pre_tokenizer", split("[a&&b]"), "&&"},
          {"/pre_tokenizer", split("[]a]"), "first character"},
          {"/pre_tokenizer", split("(?x)a b"), "flags"},
          {"/pre_tokenizer", split("\\\\w+"), "\\w"},
          {"/pre_tokenizer", split(std::string(10001, 'a')), "10000"},
          {"/decoder", R"({"type": "CTC"})", "CTC"},
          {"/decoder", R"({"type": "Strip", "content": "", "start": 1, "stop": 0})", "content"},
          {"/decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})", "start"},
          {"/post_processor", R"({"type": "Unknown"})", "Unknown"},
          {"/post_processor/single", "[]", "sequence A"},
          {"/post_processor/single/1/Sequence/id", R"("B")", "single[1]"},
          {"/post_processor/special_tokens", "{}", "<s>"},
          {"/post_processor/special_tokens/<s>/ids", "[4, 4]", "one id"},
          {"/post_processor/special_tokens/<s>/ids", "[-1]", "-1"},
          {"/post_processor/special_tokens/<s>/ids", "[2]", "\"<s>\""},
          {"/post_processor", R"({"type": "RobertaProcessing", "cls": "<s>", "sep": ["<s>", 4]})", "cls"},
      });
  check_bad_fields(
      small_unigram_json(),
      {
          {"/normalizer/normalizers/0/precompiled_charsmap", R"("AAA")", "base64"},
          {"/normalizer/normalizers/0/precompiled_charsmap", R"("")", "normalizers[0].precompiled_charsmap"},
          {"/normalizer/normalizers/0/precompiled_charsmap", R"("AAAAAA==")", "trie"},
          {"/normalizer/normalizers/0/precompiled_charsmap", "null", "precompiled_charsmap"},
          {"/normalizer/normalizers/1/type", R"("Lowercase")", "normalizers[1]"},
      });
}

TEST_CASE("malformed added tokens are refused by field") {
  check_bad_fields(small_bpe_json(),
                   {
                       {"/added_tokens", R"({"<s>": 4})", "added_tokens"},
                       {"/added_tokens/0", R"("<s>")", "added_tokens[0]"},
                       {"/added_tokens/0/id", "0", "<s>"},  // "a" has it
                       {"/added_tokens/0/id", "-1", "<s>"},
                       {"/added_tokens/0/id", "100000000", "<s>"},
                       {"/added_tokens/0/content", R"("")", "added_tokens[0]"},
                       {"/added_tokens/0/content", "5", "content"},
                       {"/added_tokens/0/content", "\"" + std::string(1025, 's') + "\"", "added_tokens[0]"},
                       {"/added_tokens/1", R"({"id": 3, "content": "a"})", "\"a\""},  // which is 0
                       {"/added_tokens/0/single_word", "true", "single_word"},
                       {"/added_tokens/0/special", R"("yes")", "special"},
                       {"/added_tokens/1", R"({"id": 4, "content": "<t>"})", "<t>"},
                       {"/added_tokens/1", R"({"id": 5, "content": "<s>"})", "<s>"},
                   });
}

TEST_CASE("JSON that is cut off, is none, or holds what a number cannot") {
  const TemporaryFolder folder;
  for (const auto& valid : {small_bpe_json(), small_unigram_json()}) {
    for (std::size_t size = 0; size < valid.size(); ++size) {
      const auto error = error_with(folder, "tokenizer.json", valid.substr(0, size));
      if (!has(error, (folder / "tokenizer.json").string())) FAIL_CHECK(size << " bytes: " << error);
    }
  }
  auto beyond = small_unigram_json();
  beyond.replace(beyond.find("-4e0"), 4, "1e999");
  auto twice = small_bpe_json();
  twice.replace(twice.find("\"ab\": 2"), 7, "\"b\": 2");
  check_bad_bytes("tokenizer.json", {{beyond, "in range"},
                                     {twice, "\"b\" twice"},
                                     {"[]", "object"},
                                     {"\"\\ud800\"", "JSON"},
                                     {"\xFF\xFE{}", "JSON"},
                                     {std::string(1000, '['), "nested"},
                                     {"<!DOCTYPE html>", "JSON"}});
}

TEST_CASE("files that are far too large are not read to their end") {
  const TemporaryFolder folder;
  std::filesystem::resize_file(folder.write("spiece.model", small_spiece_model()), std::uintmax_t{1} << 40);  // sparse
  CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "spiece.model: expected at most"));
  std::filesystem::resize_file(folder.write("tokenizer_config.json", "{}"), std::uintmax_t{1} << 40);
  CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "tokenizer_config.json: expected at most"));
}

TEST_CASE("spiece.model: a damaged or foreign file") {
  const std::string unknown = piece_field("<unk>", 0, 2);
  check_bad_bytes("spiece.model",
                  {
                      {"", "unknown"},
                      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "damaged"},
                      {std::string("\0", 1), "field number"},
                      {key(1, 3), "wire type 3"},
                      {key(1, 7), "wire type 7"},
                      {key(std::uint64_t{1} << 40, 0), "field number"},
                      {std::string(9, '\xFF') + '\x02', "64 bits"},
                      {std::string(11, '\x80'), "64 bits"},
                      {key(1, 2) + varint(1000) + "short", "1000 bytes"},
                      {key(1, 2) + varint(~std::uint64_t{0}) + "short", "18446744073709551615 bytes"},
                      {key(1, 5) + "abc", "4 bytes"},
                      {integer_field(1, 1), "pieces[0]"},
                      {unknown + bytes_field(1, integer_field(1, 5)), "pieces[1]"},
                      {unknown + bytes_field(1, bytes_field(1, "a") + integer_field(2, 5)), "score"},
                      {unknown + bytes_field(1, bytes_field(1, "a") + bytes_field(3, "x")), "type"},
                      {unknown + piece_field("", 0), "pieces[1]"},
                      {unknown + bytes_field(1, float_field(2, 1)), "pieces[1]"},
                      {unknown + piece_field("\xC3\x28", 0), "UTF-8"},
                      {unknown + piece_field("a", 0, 9), "1 to 6"},
                      {unknown + piece_field("a", 0, ~std::uint64_t{0}), "1 to 6"},
                      {unknown + piece_field("a", 0, std::uint64_t{1} << 40), "32 bits"},
                      {unknown + piece_field("a", 0, 2), "unknown"},
                      {piece_field("a", 0), "unknown"},
                      {unknown + piece_field("a", std::numeric_limits<float>::quiet_NaN()), "finite"},
                      {unknown + piece_field("a", -std::numeric_limits<float>::infinity()), "finite"},
                      {unknown + piece_field("a", 0) + piece_field("a", 1), "\"a\""},
                      {unknown + piece_field(std::string(1025, 'a'), 0), "piece 1"},
                      {small_pieces() + trainer_spec(integer_field(3, 2)), "model_type"},
                      {small_pieces() + trainer_spec(integer_field(35, 2)), "byte_fallback"},
                      {small_pieces() + trainer_spec(integer_field(24, 1)), "treat_whitespace_as_suffix"},
                      {small_pieces() + trainer_spec(key(3, 0)), "trainer_spec"},
                      {small_pieces() + normalizer_spec(integer_field(3, 0)), "add_dummy_prefix"},
                      {small_pieces() + normalizer_spec(integer_field(4, 0)), "remove_extra_whitespaces"},
                      {small_pieces() + normalizer_spec(integer_field(5, 0)), "escape_whitespaces"},
                      {small_pieces() + normalizer_spec(bytes_field(2, "abc")), "precompiled_charsmap"},
                  });
}

TEST_CASE("spiece.model cut off anywhere loads as what is left of it, or not at all") {
  const TemporaryFolder folder;
  const std::string valid = small_spiece_model();
  std::size_t refused = 0;
  for (std::size_t size = 0; size < valid.size(); ++size) {
    const auto error = error_with(folder, "spiece.model", valid.substr(0, size));
    if (!error.empty() && !has(error, (folder / "spiece.model").string())) FAIL_CHECK(size << " bytes: " << error);
    refused += error.empty() ? 0 : 1;
  }
  CHECK(refused > valid.size() * 9 / 10);  // only where one message ends and the next begins is nothing missing
}

TEST_CASE("normalisation rules whose places lie outside") {
  const auto bad = [](const std::string& rules) { return small_pieces() + normalizer_spec(bytes_field(2, rules)); };
  const auto with_unit = [&](std::size_t at, std::uint32_t unit) {
    auto units = one_key_trie(0);
    units[at] = unit;
    return bad(charsmap(units, std::string_view("a\0", 2)));
  };
  check_bad_bytes(
      "spiece.model",
      {
          {bad(std::string("\4\0\0", 3)), "precompiled_charsmap"},
          {bad(little_endian(0)), "trie"},
          {bad(little_endian(6) + "abcdef"), "trie"},
          {bad(little_endian(0xFFFFFFFCU) + "abcd"), "trie"},
          {bad(charsmap({trie_unit(0, false, 0)}, "")), "unit 0"},                         // children need 256 units
          {with_unit(0, trie_unit(0, false, 512)), "unit 0"},                              // outside
          {with_unit(0, trie_unit(0, false, 0x3FFFFF) | 0x200U), "unit 0"},                // times 256
          {with_unit(256 ^ 'A', trie_unit('A', true, 1024)), "unit 321"},                  // of "A"
          {bad(charsmap(one_key_trie(2), std::string_view("a\0", 2))), "below 2, got 2"},  // a value outside
          {bad(charsmap(one_key_trie(0x7FFFFFFF), std::string_view("a\0", 2))), "got 2147483647"},
          {bad(charsmap(one_key_trie(1), std::string_view("\xC3\xA9\0", 3))), "within"},  // within a character
          {bad(charsmap(one_key_trie(0), "a")), "zero byte"},
          {bad(charsmap(one_key_trie(0), std::string(2000, 'a') + '\0')), "zero byte"},
          {bad(charsmap(one_key_trie(0), std::string_view("\xFF\0", 2))), "UTF-8"},
      });
  // The trie leads back to its own beginning, and "A" to itself: no key, no end, and no harm.
  const TemporaryFolder folder;
  auto units = one_key_trie(0);
  units[256 ^ 'A'] = trie_unit('A', false, 'A');
  folder.write("spiece.model", bad(charsmap(units, std::string_view("a\0", 2))));
  CHECK(load_tokenizer(folder.path())->encode("AAAA b") == std::vector<Index>{3, 2, 3, 5});
}

TEST_CASE("malformed special tokens and settings are refused with file and field") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_bpe_json());
  const auto check = [&](std::string_view file, const std::string& json, std::string_view says) {
    const auto error = error_with(folder, file, json);
    CAPTURE(json);
    CAPTURE(error);
    CHECK(has(error, folder.path().string()));
    CHECK(has(error, says));
    std::filesystem::remove(folder / file);
  };
  check("tokenizer_config.json", "[]", "tokenizer_config.json: expected a JSON object");
  check("tokenizer_config.json", R"({"bos_token": "<bos>"})", "bos_token");
  check("tokenizer_config.json", R"({"eos_token": "<eos>"})", "<eos>");
  check("tokenizer_config.json", R"({"eos_token": 5})", "eos_token");
  check("tokenizer_config.json", R"({"eos_token": {"content": 5}})", "eos_token");
  check("tokenizer_config.json", R"({"eos_token": {"content": ""}})", "eos_token");
  check("tokenizer_config.json", R"({"add_bos_token": "yes"})", "add_bos_token");
  check("tokenizer_config.json", R"({"add_eos_token": 1})", "add_eos_token");
  check("tokenizer_config.json", R"({"tokenizer_class": 1})", "tokenizer_class");
  check("tokenizer_config.json", R"({"chat_template": 1})", "chat_template");
  check("tokenizer_config.json", R"({"added_tokens_decoder": []})", "added_tokens_decoder");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<t>"}}})", "\"x\"");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"99999999999999999999": {"content": "<t>"}}})", "999999");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"0": {"content": "<t>"}}})", "<t>");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"5": {"content": "<t>"}, "6": {"content": "<t>"}}})",
        "<t>");
  check("special_tokens_map.json", R"({"bos_token": "<bos>"})", "<bos>");
  check("added_tokens.json", R"({"<t>": -5})", "<t>");
  check("added_tokens.json", R"({"<t>": 2})", "<t>");
  check("config.json", R"({"eos_token_id": 99})", "config.json, field \"eos_token_id\"");
  check("config.json", R"({"eos_token_id": "2"})", "eos_token_id");
  check("config.json", R"({"bos_token_id": 1.5})", "bos_token_id");
  check("config.json", R"({"bos_token_id": 99999999999})", "99999999999");
  check("config.json", R"({"model_type": 5})", "model_type");
  CHECK(error_with(folder, "config.json", R"({"eos_token_id": -1, "bos_token_id": null, "pad_token_id": 77})").empty());

  std::filesystem::remove(folder / "tokenizer.json");
  folder.write("spiece.model", small_spiece_model());
  check("tokenizer_config.json", R"({"extra_ids": -1})", "extra_ids");
  check("tokenizer_config.json", R"({"extra_ids": 1000000000})", "extra_ids");
  check("tokenizer_config.json", R"({"tokenizer_class": "AlbertTokenizer"})", "AlbertTokenizer");
  std::filesystem::remove(folder / "spiece.model");
  folder.write("tokenizer.model", small_spiece_model());
  CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "AutoTokenizer"));
}

TEST_CASE("malformed vocab.json and merges.txt are refused by file") {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  CHECK(has(error_of<LoadError>([&] { load_tokenizer(folder.path()); }), "merges.txt"));
  check_bad_bytes("vocab.json", {{"[]", "object"}, {R"({"a": 0)", "JSON"}, {R"({"a": "0"})", "\"a\""}});
  const auto check = [&](const std::string& merges, std::string_view says) {
    const auto error = error_with(folder, "merges.txt", merges);
    CAPTURE(error);
    CHECK(has(error, (folder / "merges.txt").string()));
    CHECK(has(error, says));
  };
  check("#version: 0.2\na b\nab", "line 3");
  check("a  b", "line 1");
  check(" a", "line 1");
  check("a ", "line 1");
  check("a b c", "line 1");
  check("a c", "merge 1");
  check("\xFF \xFE", "merge 1");
  CHECK(error_with(folder, "merges.txt", "#version: 0.2\r\na b\r\n\r\n").empty());
}

TEST_CASE("a character outside a vocabulary without an unknown token is the text's fault, not the file's") {
  const TemporaryFolder folder;
  auto json = Json::parse(small_unigram_json());
  json["model"].erase("unk_id");
  folder.write("tokenizer.json", json.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->encode("ab") == std::vector<Index>{2, 5});
  CHECK(has(error_of<DataError>([&] { tokenizer->encode("abx"); }), "\"x\""));
}
