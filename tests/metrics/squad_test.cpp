// SQuAD's exact match and F1 (tests/golden/README.md).

#include "greentrainer/metrics/squad.hpp"

#include <doctest/doctest.h>

#include "metrics/metric_goldens.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

const std::filesystem::path goldens = testing::source_folder() / "tests/golden/metrics";

}  // namespace

TEST_CASE("answers score as after SQuAD's official normalisation") {
  const auto comparison = testing::compare_squad(goldens);
  CHECK(comparison.lines >= 100);
  CAPTURE(comparison.first);
  CHECK(comparison.differences == 0);
}

TEST_CASE("case, marks, articles and spaces do not matter; other words do") {
  CHECK(answer_score("The Eiffel Tower", "eiffel  tower!").exact_match == 1);
  CHECK(answer_score("Eiffel Tower", "the tower").exact_match == 0);
  CHECK(answer_score("Eiffel Tower", "the tower").f1 == doctest::Approx(2.0 / 3));
  CHECK(answer_score("theatre", "atre").f1 == 0);  // an article is a word
  CHECK(answer_score("\xC3\x89t\xC3\xA9", "\xC3\xA9t\xC3\xA9").exact_match == 1);
  CHECK(answer_score("the", "a").f1 == 1);  // no word is left of either
  CHECK(answer_score("the", "b").f1 == 0);
}

TEST_CASE("the best of several right answers counts, for each score apart") {
  const std::vector<std::string> references = {"Jamaican Creole English Language", "Jamaican English"};
  CHECK(answer_score(references, "jamaican english").exact_match == 1);
  CHECK(answer_score(references, "jamaican").f1 == doctest::Approx(2.0 / 3));
  CHECK_THROWS_AS(answer_score(std::vector<std::string>{}, "a"), DataError);
}

TEST_CASE("an answer that is not UTF-8 is refused with the byte") {
  CHECK_THROWS_WITH_AS(answer_score("ab\xFFz", "ab"), doctest::Contains("byte 2"), DataError);
}

TEST_CASE("lower case is Python's, in all scripts and with Greek's final sigma") {
  const auto comparison = testing::compare_lower_case(goldens);
  CHECK(comparison.lines >= 20);
  CAPTURE(comparison.first);
  CHECK(comparison.differences == 0);
  CHECK(lower_case("A\xFF\x42") == "a\xFF\x62");
}
