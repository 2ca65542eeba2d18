#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/json_rows.hpp"

namespace greentrainer::forms {

/// Extractive questions in SQuAD's form (SQuAD 1.1, XQuAD): one JSON object with `data`, articles with `paragraphs`,
/// these with `context` and `qas`, these with `question` and `answers`, each a `text` of the context. Where the prompt
/// is too long, the context loses its end.
inline std::vector<DatasetRow> squad(const std::filesystem::path& path) {
  const std::string contents = read_data_file(path);
  const OrderedJson file = parse_json<OrderedJson>(contents, path.string());
  const JsonObjectLines lines(contents, file);
  const auto objects = [&](const OrderedJson& object, const char* key) -> const OrderedJson& {
    return with_line("load_dataset", path, lines.line_of(object),
                     [&]() -> const OrderedJson& { return json_fields::objects(object, key); });
  };

  std::vector<DatasetRow> rows;
  // `context`: of the paragraph, once one of its questions has been read.
  const auto read_question = [&](const OrderedJson& question, const OrderedJson& paragraph,
                                 std::optional<SharedText>& context) {
    std::vector<std::string> answers;
    std::unordered_set<std::string_view, SecretHash> seen;
    for (const OrderedJson& answer : json_fields::objects(question, "answers")) {
      const std::string& text = json_fields::text(answer, "text");
      if (seen.insert(text).second) answers.push_back(text);
    }
    if (answers.empty()) {
      throw DataError("data", "field \"answers\"",
                      "expected at least one, got none; questions without an answer (SQuAD 2.0) are not read");
    }
    const bool first_of_paragraph = !context;
    if (!context) context = "context:" + json_fields::text(paragraph, "context");
    rows.push_back(question_row({{.text = *context}, {.text = "question:" + json_fields::text(question, "question")}},
                                "answer", std::move(answers)));
    rows.back().line = lines.line_of(question);
    note_unread(question, {"id", "question", "answers", "is_impossible", "plausible_answers"}, rows.back());
    for (const OrderedJson& answer : json_fields::objects(question, "answers"))
      note_unread(answer, {"text", "answer_start", "answer_end"}, rows.back());
    if (first_of_paragraph) note_unread(paragraph, {"context", "qas"}, rows.back());
  };
  if (!file.is_object())
    throw DataError("load_dataset", path.string(), text("expected a JSON object, got ", file.type_name()));
  for (const OrderedJson& article : objects(file, "data")) {
    for (const OrderedJson& paragraph : objects(article, "paragraphs")) {
      std::optional<SharedText> context;
      for (const OrderedJson& question : objects(paragraph, "qas")) {
        with_line("load_dataset", path, lines.line_of(question), [&] { read_question(question, paragraph, context); });
      }
    }
  }
  return rows;
}

}  // namespace greentrainer::forms
