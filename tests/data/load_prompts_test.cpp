// Prompts for generation, with all right answers beside them.

#include "greentrainer/data/load_prompts.hpp"

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/data/row_encoder.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/chat_model.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::TemporaryFolder;

namespace {

const auto tokenizer = load_tokenizer(testing::source_folder() / "examples/data/stories260k");

}  // namespace

TEST_CASE("a prompt is what training puts before the answer") {
  const TemporaryFolder folder;
  const auto path =
      folder.write("rows.jsonl", "{\"prompt\": \"Once upon\", \"completion\": \" a time\"}\n\n{\"prompt\": \"Tim\"}\n");
  const Prompts prompts = load_prompts(path, *tokenizer, {}, 16);
  REQUIRE(prompts.ids.size() == 2);
  CHECK(prompts.lines == std::vector<Extent>{1, 3});
  CHECK(prompts.references[0] == std::vector<std::string>{" a time"});
  CHECK(prompts.references[1].empty());
  Dataset trained;
  RowEncoder(tokenizer.get(), {}).add(Json{{"prompt", "Once upon"}, {"completion", " a time"}}, 1, trained);
  const auto& ids = trained.examples.at(0).input_ids;
  REQUIRE(ids.size() > prompts.ids[0].size());
  CHECK(std::equal(prompts.ids[0].begin(), prompts.ids[0].end(), ids.begin()));
  CHECK(trained.examples[0].labels[prompts.ids[0].size() - 1] == ignore_label);
  CHECK(trained.examples[0].labels[prompts.ids[0].size()] != ignore_label);
}

TEST_CASE("prompts leave room for what is generated, and data sets give all references") {
  const TemporaryFolder folder;
  const auto path = folder.write(
      "dev.jsonl", R"({"source": ["The cat sat on the mat and looked at the moon."], "target": ["A", "B"]})");
  const Prompts prompts = load_prompts(path, *tokenizer, {.max_tokens = 40, .dataset = "scitldr"}, 20);
  CHECK(prompts.ids.at(0).size() == 20);
  CHECK(prompts.rows_truncated == 1);
  CHECK(prompts.references.at(0) == std::vector<std::string>{"A", "B"});
  const DataOptions encoder_decoder{
      .max_tokens = 20, .dataset = "scitldr", .target = TargetOptions{.shift = {}, .max_tokens = 64}};
  CHECK(load_prompts(path, *tokenizer, encoder_decoder, 1000).ids.at(0).size() ==
        20);  // what is generated has room of its own
}

TEST_CASE("rows without a prompt name file and line") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& rows) {
    return testing::error_of<Error>([&] { load_prompts(folder.write("rows.jsonl", rows), *tokenizer, {}, 1); });
  };
  CHECK(testing::has(error("{\"prompt\": \"a\"}\n{\"text\": \"b\"}\n"),
                     "rows.jsonl, line 2: field \"prompt\": expected a text, got nothing"));
  CHECK(testing::has(error("{\"prompt\": \"a\", \"completion\": 1}\n"),
                     "rows.jsonl, line 1: field \"completion\": expected a text, got number"));
  CHECK(testing::has(error("[\n"), "rows.jsonl, line 1: row: expected one JSON object"));
  CHECK(testing::has(error("\n"), "rows.jsonl: expected at least one row, got none"));
}

TEST_CASE("a conversation is a prompt for its last answer, as training has it in front of that answer") {
  const TemporaryFolder folder;
  const auto chat = load_tokenizer(testing::write_chat_model(folder));
  const Json user = {{"role", "user"}, {"content", "Who ran?"}}, cat = {{"role", "assistant"}, {"content", "The cat."}},
             why = {{"role", "user"}, {"content", "Why?"}}, system = {{"role", "system"}, {"content", "Be kind."}};
  const auto path = folder.write("rows.jsonl", Json{{"messages", {system, user, cat, why, cat}}, {"id", 7}}.dump() +
                                                   "\n" + Json{{"messages", {user, cat, why}}}.dump() + "\n");
  const Prompts prompts = load_prompts(path, *chat, {}, 16);
  REQUIRE(prompts.ids.size() == 2);
  CHECK(prompts.references == std::vector<std::vector<std::string>>{{"The cat."}, {}});
  CHECK(prompts.ignored_keys == IgnoredKeys{{"id", 1}});
  const std::string first_answered =
      "<|im_start|>user\nWho ran?<|im_end|>\n<|im_start|>assistant\nThe cat.<|im_end|>\n";
  const std::string last_asked = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n";
  const std::string said = "<|im_start|>system\nBe kind.<|im_end|>\n";
  CHECK(prompts.ids[0] == chat->encode(said + first_answered + last_asked));
  CHECK(prompts.ids[1] == chat->encode(first_answered + last_asked));

  const Dataset trained = load_jsonl(path, *chat);
  const Example& example = trained.examples.at(0);
  REQUIRE(example.input_ids.size() > prompts.ids[0].size());
  CHECK(std::equal(prompts.ids[0].begin(), prompts.ids[0].end(), example.input_ids.begin()));

  SUBCASE("too long, it loses questions with their answers from the front, never the system's words or the last one") {
    const auto size = [&](const std::string& text) { return static_cast<Extent>(chat->encode(text).size()); };
    const Extent needed = size(said + last_asked);
    const Prompts cut = load_prompts(path, *chat, {.max_tokens = needed + 16, .rows = {0, 1}}, 16);
    CHECK(cut.ids.at(0) == chat->encode(said + last_asked));
    CHECK(cut.rows_truncated == 1);
    const auto error = testing::error_of<DataError>([&] {
      load_prompts(path, *chat, {.max_tokens = needed + 15, .rows = {0, 1}}, 16);
    });
    CHECK(testing::has(error, text("expected at most ", needed - 1, " tokens of what is never cut, got ", needed)));
    CHECK(testing::has(testing::error_of<DataError>([&] {
                         load_prompts(path, *chat, {.max_tokens = needed + 16, .truncation = Truncation::refuse}, 16);
                       }),
                       "expected at most"));
  }
  SUBCASE("it needs a model with the ChatML template") {
    CHECK(testing::has(testing::error_of<DataError>([&] { load_prompts(path, *tokenizer, {}, 16); }), "ChatML"));
  }
}
