// Conversations that are too long: whole turns go, or the end, or nothing; never a header whose answer stays.

#include "greentrainer/data/conversation.hpp"

#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/chat_model.hpp"

using namespace greentrainer;
using greentrainer::testing::has;
using greentrainer::testing::TemporaryFolder;

namespace {

using Ids = std::vector<Index>;

std::string conversation(const std::vector<std::pair<std::string, std::string>>& said) {
  Json messages = Json::array();
  for (const auto& [role, content] : said) messages.push_back({{"role", role}, {"content", content}});
  return Json{{"messages", messages}}.dump() + "\n";
}

/// The embedded model's, with ChatML's markers.
const Tokenizer& chat_tokenizer() {
  static const auto tokenizer = [] {
    const TemporaryFolder folder;
    return load_tokenizer(testing::write_chat_model(folder));
  }();
  return *tokenizer;
}

Dataset load(const std::string& rows, const DataOptions& options = {}) {
  const TemporaryFolder folder;
  return load_jsonl(folder.write("rows.jsonl", rows), chat_tokenizer(), options);
}

/// What carries loss, and what does not, as text: "question [answer]".
std::string shown(const Example& example) {
  std::string result;
  for (std::size_t i = 0; i < example.input_ids.size();) {
    const bool labelled = example.labels[i] != ignore_label;
    Ids run;
    for (; i < example.input_ids.size() && (example.labels[i] != ignore_label) == labelled; ++i)
      run.push_back(example.input_ids[i]);
    const std::string text = chat_tokenizer().decode(run, false);
    result += labelled ? "[" + text + "]" : text;
  }
  return result;
}

const std::string two_questions = conversation({{"user", "Tell me about the red dog and the big cat."},
                                                {"assistant", "It ran."},
                                                {"user", "And what is the name of the girl?"},
                                                {"assistant", "Lily."}});

}  // namespace

TEST_CASE("by turns the first question goes with its answer: ids as the whole conversation has them") {
  const Dataset whole = load(two_questions);
  CHECK(whole.examples.at(0).input_ids.size() == 83);
  CHECK(whole.end_of_turn_ids == Ids{258});
  const Dataset data = load(two_questions, {.max_tokens = 45});
  CHECK(data.rows_truncated == 1);
  CHECK(data.first_truncated_line == 1);
  CHECK(data.turns_dropped == 2);
  const Ids question = {410, 13,  257, 318, 419, 285, 13,  447, 264, 263, 415, 294, 410, 293, 265, 390, 411, 373,
                        265, 298, 315, 421, 450, 258, 410, 13,  257, 261, 419, 419, 293, 413, 303, 413, 13};
  const Ids answer = {438, 310, 426, 258};
  Ids ids = question, labels(question.size(), ignore_label);
  ids.insert(ids.end(), answer.begin(), answer.end());
  labels.insert(labels.end(), answer.begin(), answer.end());
  CHECK(data.examples.at(0).input_ids == ids);
  CHECK(data.examples.at(0).labels == labels);
}

TEST_CASE("by the end tokens go from there, as in TRL's keep_start") {
  const Dataset whole = load(two_questions),
                data = load(two_questions, {.max_tokens = 45, .truncation = Truncation::end});
  const Ids& ids = whole.examples.at(0).input_ids;
  CHECK(data.examples.at(0).input_ids == Ids(ids.begin(), ids.begin() + 45));
  CHECK(data.examples.at(0).labels == Ids(whole.examples[0].labels.begin(), whole.examples[0].labels.begin() + 45));
  CHECK(data.turns_dropped == 0);
  CHECK(load(two_questions + two_questions, {.max_tokens = 45, .truncation = Truncation::end}).rows_truncated == 2);
}

TEST_CASE("a row that may not be cut is an error that names file and line") {
  const auto error = testing::error_of<DataError>([] {
    load(conversation({{"user", "Hi"}, {"assistant", "Yes"}}) + two_questions,
         {.max_tokens = 45, .truncation = Truncation::refuse});
  });
  CHECK(has(error, "rows.jsonl, line 2: messages: expected at most 45 tokens, got 83"));
}

TEST_CASE("an answer stays with its header, its question and the system message, whatever the limit") {
  const std::string row = conversation({{"system", "Be kind."},
                                        {"user", "One?"},
                                        {"assistant", "First."},
                                        {"user", "Two?"},
                                        {"user", "Or three?"},
                                        {"assistant", "Second."},
                                        {"user", "Bye"}});
  const std::string system = "<|im_start|>system\nBe kind.<|im_end|>",
                    first = "\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n[First.<|im_end|>]",
                    second =
                        "\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>user\nOr three?<|im_end|>\n"
                        "<|im_start|>assistant\n[Second.<|im_end|>]",
                    rest = "\n<|im_start|>user\nBye<|im_end|>\n";
  const Dataset whole = load(row);
  const auto squeezed = [](std::string text) {  // the tokenizer puts a space behind every special token
    std::erase(text, ' ');
    return text;
  };
  CHECK(squeezed(shown(whole.examples.at(0))) == squeezed(system + first + second + rest));
  std::set<std::string> seen;
  for (auto limit = static_cast<Extent>(whole.examples[0].input_ids.size()) - 1; limit >= 2; --limit) {
    const Dataset data = load(row + R"({"input_ids": [5, 6], "labels": [5, 6]})", {.max_tokens = limit});
    if (data.rows_dropped == 1) {
      seen.insert("");
      continue;
    }
    CHECK(static_cast<Extent>(data.examples.at(0).input_ids.size()) <= limit);
    CHECK(data.rows_truncated == 1);
    seen.insert(squeezed(shown(data.examples[0])));
  }
  CHECK(seen == std::set<std::string>{"", squeezed(system + first + second), squeezed(system + second)});
}

TEST_CASE("a conversation without an answer that fits is dropped, and counted") {
  const Dataset data = load(two_questions + R"({"text": "a"})", {.max_tokens = 20});
  CHECK(data.rows_dropped == 1);
  CHECK(data.lines == std::vector<Extent>{2});
}
