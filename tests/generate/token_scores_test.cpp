// Scores of the next token are processed as transformers processes them, and drawn from as they say.

#include <doctest/doctest.h>

#include "generate/golden_generation.hpp"
#include "greentrainer/generate/sequence_sampler.hpp"
#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

TEST_CASE("penalties, bans and distributions are those of transformers") {
  const Json golden = read_json_file(testing::source_folder() / "tests/golden/generation/scores.json");
  for (const Json& test : golden.at("cases")) {
    CAPTURE(test.at("options").dump());
    const GenerateOptions options = testing::golden_options(test.at("options"));
    auto scores = test.at("scores").get<std::vector<double>>();
    const auto context = test.at("context").get<std::vector<Index>>();
    process_scores(scores, context, test.at("new_tokens").get<Extent>(), options);
    if (options.temperature > 0) shape_distribution(scores, options);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      CAPTURE(i);
      const Json& expected = test.at("processed")[i];
      if (expected.is_null())
        CHECK(scores[i] == banned_score);
      else
        CHECK(scores[i] == doctest::Approx(expected.get<double>()).epsilon(1e-12));
    }
  }
}

TEST_CASE("log-probabilities add up to one, and what is no number is reported") {
  std::vector<double> scores;
  const std::vector<float> logits = {100, -3, 99.5F, 100, 20};
  log_probabilities_from_logits(std::span(logits), scores);
  double sum = 0;
  for (const double s : scores) sum += std::exp(s);
  CHECK(sum == doctest::Approx(1).epsilon(1e-6));
  CHECK(scores[0] - scores[1] == doctest::Approx(103));
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const std::vector<float> damaged = {1, bad, 2};
    CHECK_THROWS_AS(scores_from_logits(std::span(damaged), scores), NumericalError);
  }
}

TEST_CASE("tokens are drawn as often as they are probable, and a draw depends on seed and prompt alone") {
  const std::vector<float> logits = {std::log(0.5F), -40, std::log(0.3F), std::log(0.15F), std::log(0.05F)};
  const auto frequencies = [&](GenerateOptions options) {
    options.max_new_tokens = 20000;
    SequenceSampler sampler({1}, options, 4);
    while (!sampler.done()) sampler.advance(std::span(logits));
    std::vector<double> counts(logits.size());
    for (const Index id : sampler.result().ids) counts[static_cast<std::size_t>(id)] += 1.0 / 20000;
    return counts;
  };
  const auto check = [](const std::vector<double>& got, const std::vector<double>& expected) {
    for (std::size_t i = 0; i < got.size(); ++i)
      CHECK(std::abs(got[i] - expected[i]) < 4 * std::sqrt(expected[i] / 20000) + 1e-9);
  };
  check(frequencies({.temperature = 1}), {0.5, 0, 0.3, 0.15, 0.05});
  check(frequencies({.temperature = 1, .top_k = 2}), {0.625, 0, 0.375, 0, 0});
  check(frequencies({.temperature = 1, .top_p = 0.9}), {0.5 / 0.95, 0, 0.3 / 0.95, 0.15 / 0.95, 0});
  check(frequencies({.temperature = 0.5}), {0.25 / 0.365, 0, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365});
  check(frequencies({}), {1, 0, 0, 0, 0});

  const auto ids = [&](std::uint64_t seed, std::size_t number) {
    const GenerateOptions options{.max_new_tokens = 50, .temperature = 1, .seed = seed};
    SequenceSampler sampler({1}, options, number);
    while (!sampler.done()) sampler.advance(std::span(logits));
    return sampler.result().ids;
  };
  CHECK(ids(1, 2) == ids(1, 2));
  CHECK(ids(1, 2) != ids(2, 2));
  CHECK(ids(1, 2) != ids(1, 3));
}

TEST_CASE("where every token is ruled out, that is said; a temperature that scores cannot be divided by is refused") {
  const std::vector<float> logits = {1, 2, 3};
  for (const double temperature : {0.0, 0.7}) {
    const GenerateOptions options{
        .max_new_tokens = 4, .min_new_tokens = 2, .eos_ids = {0, 1, 2}, .temperature = temperature, .top_p = 0.9};
    SequenceSampler sampler({1}, options, 0);
    CHECK_THROWS_WITH_AS(sampler.advance(std::span(logits)),
                         doctest::Contains("token 1: expected one that may follow, got none"), ConfigError);
  }
  CHECK_THROWS_AS(check_options({.max_new_tokens = 4, .temperature = 1e-320}, 3), ConfigError);
}
