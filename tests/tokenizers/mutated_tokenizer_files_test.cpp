// Valid tokenizer files, damaged at random: each either loads, and then encodes and decodes, or is a LoadError. Nothing
// else is thrown and nothing hangs; built with -fsanitize=address,undefined, nothing else goes wrong either.

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "greentrainer/tokenizers/normalizer.hpp"
#include "greentrainer/tokenizers/precompiled_charsmap.hpp"
#include "greentrainer/tokenizers/regex.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "tokenizers/written_files.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// What such files hold, and what readers stumble over.
constexpr std::array<std::string_view, 32> words = {"-1",
                                                    "0",
                                                    "4294967296",
                                                    "1e308",
                                                    "null",
                                                    "true",
                                                    "[]",
                                                    "{}",
                                                    "\"\"",
                                                    "\"a\"",
                                                    "\"<s>\"",
                                                    "\\u0000",
                                                    "\"Regex\"",
                                                    "(a*)*b",
                                                    "[a[b]]",
                                                    "\\\\X",
                                                    "\"Metaspace\"",
                                                    "\"Unigram\"",
                                                    "\"BPE\"",
                                                    "\"byte_fallback\": true",
                                                    "\"ByteFallback\"",
                                                    "\"Replace\"",
                                                    "\"Prepend\"",
                                                    "\"unk_token\": \"a\"",
                                                    "\"fuse_unk\": true",
                                                    "\"special\": false",
                                                    "\"lstrip\": true",
                                                    "\"normalized\": true",
                                                    "\xE2\x96\x81",
                                                    "\xF0\x9F\x98\x80",
                                                    std::string_view("\xFF\xFF\xFF\xFF\x0F", 5),
                                                    std::string_view("\x00\x01\x00\x00", 4)};

void mutate(std::string& bytes, CounterRandom& random) {
  const auto below = [&](std::size_t bound) -> std::size_t { return random.below(static_cast<std::uint32_t>(bound)); };
  for (std::size_t count = 1 + below(3); count > 0 && !bytes.empty(); --count) {
    const std::size_t at = below(bytes.size());
    const std::size_t length = std::min(bytes.size() - at, 1 + below(24));
    const std::string copy = bytes.substr(at, length);
    const std::string_view word = words[below(words.size())];
    switch (below(7)) {
      case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
      case 1: bytes[at] = static_cast<char>(below(256)); break;
      case 2: bytes.erase(at, length); break;
      case 3: bytes.insert(below(bytes.size()), copy); break;
      case 4: bytes.insert(at, word); break;
      case 5: bytes.replace(at, length, word); break;
      default:
        if (below(8) == 0) bytes.resize(at);
    }
  }
}

/// How many of `rounds` damaged files loaded, and how many did not.
struct Outcome {
  int loaded = 0;
  int refused = 0;
};

Outcome damage(const std::string& valid, const char* file, int rounds) {
  const TemporaryFolder folder;
  Outcome outcome;
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    CounterRandom random(0, "damage", static_cast<std::uint64_t>(round));
    std::string bytes = valid;
    mutate(bytes, random);
    std::filesystem::remove(folder / file);
    folder.write(file, bytes);
    try {
      const auto tokenizer = load_tokenizer(folder.path());
      ++outcome.loaded;
      for (const char* input :
           {"", "ab Aab, x", "<s>a\xC3\xA9 \xE2\x96\x81\xF0\x9F\x98\x80\r\n e\xCC\x81  aaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
            "<extra_id_0> <unk></s>"}) {
        try {
          const auto ids = tokenizer->encode_sequence(input);
          for (const Index id : ids) REQUIRE((id >= 0 && id < tokenizer->vocab_size()));
          tokenizer->decode(ids, false);
        } catch (const DataError&) {  // no unknown token for what is unknown, or a pattern that takes too long
        }
      }
    } catch (const LoadError& error) {
      ++outcome.refused;
      if (!has(error.what(), folder.path().string()) || !has(error.what(), "expected")) FAIL_CHECK(error.what());
    }
  }
  return outcome;
}

void check_both_happen(const Outcome& outcome) {
  CHECK(outcome.loaded > 0);
  CHECK(outcome.refused > 0);
}

}  // namespace

TEST_CASE("a damaged tokenizer.json with BPE is refused or read, never a crash") {
  check_both_happen(damage(small_bpe_json(), "tokenizer.json", 2000));
}

TEST_CASE("a damaged tokenizer.json with Unigram is refused or read, never a crash") {
  check_both_happen(damage(small_unigram_json(), "tokenizer.json", 2000));
}

TEST_CASE("a damaged spiece.model is refused or read, never a crash") {
  check_both_happen(damage(small_spiece_model(), "spiece.model", 2000));
  const auto trained = read_file(testing::source_folder() / "tests/golden/tokenizers/unigram/spiece.model");
  check_both_happen(damage(trained, "spiece.model", 100));
}

TEST_CASE("damaged normalisation rules within a sound file") {
  Outcome outcome;
  for (int round = 0; round < 2000; ++round) {
    CounterRandom random(0, "rules", static_cast<std::uint64_t>(round));
    auto units = one_key_trie(0);
    for (int count = 0; count < 4; ++count) {
      // Near the states that are reached, so that they lead elsewhere.
      constexpr std::array<std::size_t, 4> reached = {0, 256 ^ 'A', 448, 256 ^ 'B'};
      const std::uint32_t label = random.below(2) == 0 ? 'A' + random.below(2) : random.below(256);
      const std::size_t at = random.below(4) == 0 ? random.below(512) : reached[random.below(4)];
      units[at] = trie_unit(label, random.below(2) == 0, random.below(1024));
    }
    const std::string rules = charsmap(units, std::string_view("a\0bc\0\0", 6));
    try {
      const PrecompiledCharsmap map(rules, "rules");
      ++outcome.loaded;
      for (const char* input : {"A", "AB", "AAAA", "BABABA", "\x01\x02", "\xC3\xA9"}) map.find(input);
    } catch (const LoadError&) {
      ++outcome.refused;
    }
  }
  check_both_happen(outcome);
}
