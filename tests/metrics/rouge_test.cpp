// ROUGE as rouge-score 0.1.2 computes it (tests/golden/README.md).

#include "greentrainer/metrics/rouge.hpp"

#include <doctest/doctest.h>

#include "metrics/metric_goldens.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

TEST_CASE("scores are those of rouge-score: with and without stems, one or several references, lines as sentences") {
  const auto comparison = testing::compare_rouge(testing::source_folder() / "tests/golden/metrics");
  CHECK(comparison.lines >= 200);
  CAPTURE(comparison.first);
  CHECK(comparison.differences == 0);
}

TEST_CASE("ROUGE counts what a count by hand gives") {
  const RougeScores scores = rouge_scores("the cat sat on the mat", "the cat lay on a mat", false);
  CHECK(scores.rouge1.precision == doctest::Approx(4.0 / 6));
  CHECK(scores.rouge1.recall == doctest::Approx(4.0 / 6));
  CHECK(scores.rouge2.f == doctest::Approx(1.0 / 5));
  CHECK(scores.rouge_l.f == doctest::Approx(4.0 / 6));

  const RougeScores of_shorter = rouge_scores("the cat sat on the mat", "the the the", false);
  CHECK(of_shorter.rouge1.precision == doctest::Approx(2.0 / 3));  // no word more often than the reference has it
  CHECK(of_shorter.rouge1.recall == doctest::Approx(2.0 / 6));
  CHECK(of_shorter.rouge2.f == 0);
}

TEST_CASE("sentences in another order cost ROUGE-L, not ROUGE-Lsum") {
  const RougeScores scores = rouge_scores("one two three\nfour five six", "four five six\none two three");
  CHECK(scores.rouge_l.f == doctest::Approx(0.5));
  CHECK(scores.rouge_lsum.f == doctest::Approx(1));
}

TEST_CASE("each kind of score is that of its own best reference") {
  const std::vector<std::string> references = {"b a d c f e", "a b x x x x"};
  const RougeScores scores = rouge_scores(references, "a b c d e f");
  CHECK(scores.rouge1.f == doctest::Approx(1));
  CHECK(scores.rouge2.f == doctest::Approx(0.2));
  CHECK_THROWS_AS(rouge_scores(std::vector<std::string>{}, "a"), DataError);
}

TEST_CASE("texts without words score 0") {
  for (const auto& [reference, prediction] :
       {std::pair("", ""), std::pair("", "a"), std::pair("a", ""), std::pair("...", "\n\n")}) {
    const RougeScores scores = rouge_scores(reference, prediction);
    for (const RougeScore& score : {scores.rouge1, scores.rouge2, scores.rouge_l, scores.rouge_lsum}) {
      CHECK(score.precision == 0);
      CHECK(score.recall == 0);
      CHECK(score.f == 0);
    }
  }
}

TEST_CASE("words are runs of ASCII letters and digits, whatever else the bytes are") {
  using Words = std::vector<std::string>;
  CHECK(rouge_tokens("Don't PANIC: 3.14!", false) == Words{"don", "t", "panic", "3", "14"});
  CHECK(rouge_tokens("caf\xC3\xA9s \xFF\x80 x", false) == Words{"caf", "s", "x"});
  CHECK(rouge_tokens("ties tied running", true) == Words{"tie", "tie", "run"});
  CHECK(rouge_tokens("was his its", true) == Words{"was", "his", "its"});  // too short to be stemmed
}
