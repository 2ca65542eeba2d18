// Texts that were chosen to fall into one bucket of the standard library's hash do not do so in ours.

#include "greentrainer/core/secret_hash.hpp"

#include <chrono>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

/// The multiplier of MurmurHash64A, which libstdc++ hashes texts with, and its inverse.
constexpr std::uint64_t factor = 0xc6a4a7935bd1e995ULL, inverse = 0x5f7a0ea7e59b19bdULL;
static_assert(factor * inverse == 1);

std::string text_of(std::uint64_t word) { return {reinterpret_cast<const char*>(&word), sizeof(word)}; }

/// The word whose mixed form differs from that of `word` in the highest bit alone.
std::uint64_t partner(std::uint64_t word) {
  const auto shifted = [](std::uint64_t k) { return k ^ (k >> 47); };  // its own inverse
  const std::uint64_t mixed = shifted(word * factor) * factor ^ std::uint64_t{1} << 63;
  return shifted(mixed * inverse) * inverse;
}

/// 2^blocks texts: two words that both differ in the highest bit of their mixed forms cancel each other.
std::vector<std::string> colliding_texts(int blocks) {
  std::vector<std::string> texts = {""};
  for (int block = 0; block < blocks; ++block) {
    const auto first = static_cast<std::uint64_t>(2 * block + 1), second = first + 1;
    std::vector<std::string> longer;
    for (const std::string& text : texts) {
      longer.push_back(text + text_of(first) + text_of(second));
      longer.push_back(text + text_of(partner(first)) + text_of(partner(second)));
    }
    texts = std::move(longer);
  }
  return texts;
}

template <class Set, class Values>
double seconds_to_fill(const Values& values) {
  const auto start = std::chrono::steady_clock::now();
  Set set;
  for (const auto& value : values) set.insert(value);
  CHECK(set.size() == values.size());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("texts made to collide in the standard library's hash have hashes of their own") {
  const std::vector<std::string> texts = colliding_texts(13);
  std::set<std::size_t> usual, ours;
  for (const std::string& text : texts) {
    usual.insert(std::hash<std::string>{}(text));
    ours.insert(SecretHash{}(text));
  }
#ifdef __GLIBCXX__
  CHECK(usual.size() == 1);
#endif
  CHECK(ours.size() == texts.size());
  CHECK(seconds_to_fill<StringSet>(texts) * 4 < seconds_to_fill<std::unordered_set<std::string>>(texts));
}

TEST_CASE("equal texts are found, whatever holds them, and near ones are others") {
  StringMap<int> map;
  std::string zeros;
  for (int i = 0; i < 40; ++i, zeros += '\0') map.emplace(zeros, i);
  CHECK(map.size() == 40);
  CHECK(map.find(std::string_view("\0\0\0", 3))->second == 3);
  CHECK(map.find(std::string_view("a")) == map.end());
}

TEST_CASE("numbers are spread over the buckets") {
  std::unordered_set<std::uint64_t, SecretHash> set;
  for (std::uint64_t i = 0; i < 20000; ++i) set.insert(i << 32 | i);
  std::size_t fullest = 0;
  for (std::size_t b = 0; b < set.bucket_count(); ++b) fullest = std::max(fullest, set.bucket_size(b));
  CHECK(fullest < 12);
}
