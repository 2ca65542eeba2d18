// Stems as nltk's (tests/golden/README.md).

#include "greentrainer/metrics/porter_stemmer.hpp"

#include <doctest/doctest.h>

#include "metrics/metric_goldens.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

TEST_CASE(
    "stems are nltk's, letter by letter: the rules' own examples, words that only look as if a rule applied, and words "
    "of real text") {
  const auto comparison = testing::compare_stems(testing::source_folder() / "tests/golden/metrics");
  CHECK(comparison.lines >= 300);
  CAPTURE(comparison.first);
  CHECK(comparison.differences == 0);
}

TEST_CASE("a stem is never empty, and no longer than its word but for one e") {
  const std::string letters = "aeiysltdngrz1";
  std::string word;
  for (std::size_t code = 0; code < 13 * 13 * 13 * 13; ++code) {
    word.clear();
    for (std::size_t rest = code, i = 0; i < 4; ++i, rest /= 13) word += letters[rest % 13];
    for (const char* ending : {"", "ed", "ing", "ness", "alli", "logi", "e"}) {
      const std::string stem = porter_stem(word + ending);
      REQUIRE(!stem.empty());
      REQUIRE(stem.size() <= word.size() + std::string_view(ending).size() + 1);
    }
  }
}
