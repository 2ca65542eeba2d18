// Accuracy by label likelihood: each candidate's likelihood is the model's own, and the likeliest is chosen.

#include "greentrainer/train/choice_evaluation.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/pretrained/load_examples.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::TemporaryFolder;

namespace {

const std::filesystem::path model_folder = testing::source_folder() / "examples/data/stories260k";

/// log softmax(logits)[id], in double.
double log_probability(std::span<const float> logits, Index id) {
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  return static_cast<double>(logits[static_cast<std::size_t>(id)]) - std::log(sum);
}

}  // namespace

TEST_CASE_TEMPLATE("a candidate's likelihood is the product of its tokens' probabilities behind the prompt", B,
                   EigenBackend<float>, OpaqueBackend<EigenBackend<float>>) {
  B backend(2);
  auto model = load_pretrained(model_folder, backend);
  const TemporaryFolder folder;
  const auto path = folder.write("labelled.txt", "She was happy.\t1\nHe cried all day and was very sad.\t0\nTim\t1\n");
  const Choices choices = load_choices(path, model.tokenizer(),
                                       data_options_for(model.facts(), {.max_tokens = 60, .dataset = "uci_sentiment"}));
  REQUIRE(choices.rows.size() == 3);
  const ChoiceEvaluation evaluation =
      evaluate_choices(model, std::span<const Choices::Row>(choices.rows), {.batch_size = 3});
  Extent correct = 0;
  for (std::size_t r = 0; r < 3; ++r) {
    CHECK(choices.rows[r].line == static_cast<Extent>(r) + 1);
    REQUIRE(evaluation.rows[r].log_likelihoods.size() == 2);
    for (std::size_t c = 0; c < 2; ++c) {
      const Example& example = choices.rows[r].candidates[c];
      PackedTokens tokens{
          .ids = example.input_ids, .positions = {}, .offsets = {0, static_cast<Index>(example.input_ids.size())}};
      for (std::size_t t = 0; t < tokens.ids.size(); ++t) tokens.positions.push_back(static_cast<Index>(t));
      const auto logits = model.logits(tokens);
      const auto width = static_cast<std::size_t>(model.facts().vocabulary);
      double expected = 0;
      for (std::size_t t = 1; t < example.labels.size(); ++t) {
        if (example.labels[t] != ignore_label)
          expected += log_probability(std::span(logits).subspan((t - 1) * width, width), example.labels[t]);
      }
      CHECK(evaluation.rows[r].log_likelihoods[c] == doctest::Approx(expected).epsilon(1e-5));
      CHECK(model.tokenizer().decode(example.input_ids).ends_with(c == 0 ? "negative" : "positive"));  // and no EOS
      CHECK(example.labels.back() != *model.tokenizer().eos_id());
    }
    const auto& of_row = evaluation.rows[r];
    CHECK(of_row.chosen == (of_row.log_likelihoods[1] > of_row.log_likelihoods[0] ? 1 : 0));
    CHECK(of_row.correct == (of_row.chosen == choices.rows[r].answer));
    correct += of_row.correct ? 1 : 0;
  }
  CHECK(evaluation.correct == correct);
  CHECK(evaluation.accuracy() == doctest::Approx(static_cast<double>(correct) / 3));
  CHECK(evaluation.flops > 0);
}

TEST_CASE("the same answers whatever the batch") {
  EigenBackend<float> backend(1);
  auto model = load_pretrained(model_folder, backend);
  const TemporaryFolder folder;
  const auto path =
      folder.write("valid.jsonl", R"({"goal": "open a jar", "sol1": "turn the lid", "sol2": "eat the lid", "label": 0})"
                                  "\n"
                                  R"({"goal": "sleep", "sol1": "go to bed", "sol2": "run", "label": 0})"
                                  "\n");
  const Choices choices = load_choices(path, model.tokenizer(), data_options_for(model.facts(), {.dataset = "piqa"}));
  const auto one = evaluate_choices(model, std::span<const Choices::Row>(choices.rows), {.batch_size = 1}),
             all = evaluate_choices(model, std::span<const Choices::Row>(choices.rows), {.batch_size = 16});
  for (std::size_t r = 0; r < 2; ++r) CHECK(one.rows[r].log_likelihoods == all.rows[r].log_likelihoods);
}

TEST_CASE("candidates of a row share one prompt, cut so that the longest fits") {
  EigenBackend<float> backend(1);
  const auto model = load_pretrained(model_folder, backend);
  const TemporaryFolder folder;
  const auto path =
      folder.write("labelled.txt", "the cat sat on the mat and looked at the moon and the stars and the sun\t1\n");
  const auto load = [&](Extent max_tokens) {
    return load_choices(path, model.tokenizer(),
                        data_options_for(model.facts(), {.max_tokens = max_tokens, .dataset = "uci_sentiment"}));
  };
  const Choices choices = load(40);
  CHECK(choices.rows_truncated == 1);
  const auto& candidates = choices.rows[0].candidates;
  CHECK(std::max(candidates[0].input_ids.size(), candidates[1].input_ids.size()) == 40);
  const auto prompt = [](const Example& e) { return std::count(e.labels.begin(), e.labels.end(), ignore_label); };
  CHECK(prompt(candidates[0]) == prompt(candidates[1]));
  CHECK_THROWS_WITH_AS(load(3),
                       doctest::Contains("labelled.txt, line 1: candidates: expected a prompt and at most 3 tokens"),
                       DataError);
  CHECK_THROWS_AS(load_choices(path, model.tokenizer(), {.dataset = "scitldr"}), UsageError);
  CHECK_THROWS_WITH_AS(load_choices(folder.write("empty.txt", "\n"), model.tokenizer(), {.dataset = "uci_sentiment"}),
                       doctest::Contains("at least one row"), DataError);
}
