// Keys of rows that nothing reads: counted by name, or an error where they would change what is trained.

#include "greentrainer/data/row_keys.hpp"

#include <doctest/doctest.h>

#include "greentrainer/data/load_choices.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/data/load_prompts.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::has;
using greentrainer::testing::TemporaryFolder;

namespace {

const auto tokenizer = load_tokenizer(testing::source_folder() / "tests/golden/tokenizers/byte-bpe");

Dataset load(const std::string& rows, const DataOptions& options = {}) {
  const TemporaryFolder folder;
  return load_jsonl(folder.write("rows.jsonl", rows), *tokenizer, options);
}
std::string error_of(const std::string& rows) {
  return testing::error_of<DataError>([&] { load(rows); });
}

/// A conversation whose row, question or answer has this besides.
std::string chat(const std::string& in_row, const std::string& in_question = "", const std::string& in_answer = "") {
  return R"({"messages": [{"role": "user", "content": "Hi")" + in_question +
         R"(}, {"role": "assistant", "content": "Yes")" + in_answer + "}]" + in_row + "}\n";
}

}  // namespace

TEST_CASE("keys that describe a row are counted, those of messages by themselves; null says nothing") {
  const Dataset data =
      load(R"({"text": "a b", "source": "x", "meta": {"n": 1}})"
           "\n"
           R"({"prompt": "a", "completion": " b", "source": "y", "id": 3, "text": null, "weight": null})"
           "\n" +
           chat(R"(, "id": 4)", R"(, "name": "Ann")", R"(, "name": "Bot", "reasoning_content": "hm")"));
  CHECK(data.examples.size() == 3);
  CHECK(data.ignored_keys ==
        IgnoredKeys{{"id", 2}, {"messages.name", 2}, {"messages.reasoning_content", 1}, {"meta", 1}, {"source", 2}});
}

TEST_CASE("keys that would change what is trained are errors that name line and key") {
  for (const char* key : {"tools", "documents", "images", "chat_template", "labels", "attention_mask", "position_ids",
                          "loss_mask", "completion_mask", "assistant_masks", "system", "functions"}) {
    CAPTURE(key);
    const std::string also = std::string(", \"") + key + "\": [{\"a\": 1}]";
    for (const std::string& row :
         {R"({"text": "a b")" + also + "}", R"({"prompt": "a", "completion": "b")" + also + "}", chat(also)}) {
      const std::string error = error_of("{\"text\": \"c d\"}\n" + row);
      CAPTURE(error);
      CHECK(has(error, "rows.jsonl, line 2: field \"" + std::string(key) + "\": expected none"));
    }
  }
  CHECK(
      has(error_of(R"({"text": "a b", "chat_template_kwargs": {"a": 1}})"), "\"chat_template_kwargs\": expected none"));
  CHECK(has(error_of(chat(R"(, "chat_template_kwargs": 1)")),
            "\"chat_template_kwargs\": expected an object, got number"));
  for (const std::string& row :
       {chat("", "", R"(, "tool_calls": [{"id": 1}])"), chat("", R"(, "images": ["x"])"),
        chat("", "", R"(, "weight": 0)"), chat("", "", R"(, "weight": 2)"), chat("", "", R"(, "loss": false)"),
        chat("", "", R"(, "train": false)"), chat("", R"(, "train": true)"), chat("", R"(, "weight": 1)")}) {
    CAPTURE(row);
    CHECK(has(error_of(row), "line 1: field \"messages."));
  }
  CHECK(has(error_of(R"({"text": "a b", "weight": 0.5})"), "field \"weight\""));
  CHECK(has(error_of(R"({"input_ids": [1, 2], "labels": [1, 2], "loss_mask": [0, 1]})"), "field \"loss_mask\""));
  CHECK(has(error_of(R"({"input_ids": [1, 2], "labels": [1, 2], "decoder_input_ids": [0, 1]})"),
            "field \"decoder_input_ids\""));
}

TEST_CASE("what is off, or as usual, is no error and no warning") {
  const Dataset data =
      load(chat(R"(, "tools": [], "documents": null, "weight": 1, "train": true)", R"(, "weight": 0, "train": false)",
                R"(, "weight": 1.0, "loss": true, "tool_calls": [])"));
  CHECK(data.examples.size() == 1);
  CHECK(data.ignored_keys.empty());
}

TEST_CASE("a row that gives two things to train on is refused, whichever would be passed over") {
  CHECK(has(error_of(R"({"text": "a b", "prompt": "a", "completion": "b"})"),
            "row: expected one thing to train on, got prompt and completion beside text"));
  CHECK(has(error_of(R"({"input_ids": [1, 2], "labels": [1, 2], "text": "a b"})"), "got input_ids beside text"));
  CHECK(has(error_of(chat(R"(, "prompt": "a")")), "got prompt and completion beside messages"));
  const TemporaryFolder folder;
  const auto path = folder.write("rows.jsonl", R"({"prompt": "a", "text": "a b"})");
  CHECK(has(testing::error_of<DataError>([&] { load_prompts(path, *tokenizer, {}, 1); }), "beside text"));
}

TEST_CASE("content in parts is an error where the template adds texts up") {
  CHECK(has(error_of(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]})"),
            "operator +: expected operands of \"+\" that Python has it for, got str and list"));
  CHECK(has(error_of(R"({"messages": [{"content": "Hi"}]})"), "field \"role\": expected a text, got nothing"));
}

TEST_CASE("data sets' own forms and prompts count what they do not read, and pass over what is published") {
  const std::string row =
      R"({"source": ["A b."], "target": ["B."], "source_labels": [1], "rouge_scores": [0.1], "paper_id": "x", "title": "t", "note": 1})";
  CHECK(load(row, {.dataset = "scitldr"}).ignored_keys == IgnoredKeys{{"note", 1}});
  CHECK(load(R"({"fname": "a", "dialogue": "D", "summary1": "S", "topic1": "t", "summary2": "S2", "topics": "x"})",
             {.dataset = "dialogsum"})
            .ignored_keys == IgnoredKeys{{"topics", 1}});
  const TemporaryFolder folder;
  const auto squad =
      folder.write("squad.json", R"({"version": "1.1", "data": [{"title": "T", "paragraphs": [{"context": "C",
    "document_id": 7, "qas": [{"id": "a", "question": "Q", "answers": [{"text": "A", "answer_start": 0, "score": 1}]},
    {"id": "b", "question": "Q", "level": "easy", "answers": [{"text": "A", "answer_start": 0}]}]}]}]})");
  CHECK(load_jsonl(squad, *tokenizer, {.dataset = "squad"}).ignored_keys ==
        IgnoredKeys{{"document_id", 1}, {"level", 1}, {"score", 1}});
  const auto prompts =
      folder.write("prompts.jsonl", "{\"prompt\": \"a\", \"id\": 1}\n{\"prompt\": \"b\", \"id\": 2}\n");
  CHECK(load_prompts(prompts, *tokenizer, {}, 1).ignored_keys == IgnoredKeys{{"id", 2}});
}
