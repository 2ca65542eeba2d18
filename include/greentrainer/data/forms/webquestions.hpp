#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/json_rows.hpp"

namespace greentrainer::forms {

/// The answers in `(list (description Lawyer) (description "Jamaican English"))`, as WebQuestions' first distribution
/// writes them.
inline std::vector<std::string> webquestions_descriptions(std::string_view list) {
  constexpr std::string_view opening = "(description ";
  std::vector<std::string> answers;
  for (std::size_t at = list.find(opening); at != std::string_view::npos; at = list.find(opening, at)) {
    at += opening.size();
    const bool quoted = at < list.size() && list[at] == '"';
    std::string answer;
    for (at += quoted ? 1 : 0; at < list.size() && list[at] != (quoted ? '"' : ')'); ++at) {
      if (quoted && list[at] == '\\' && at + 1 < list.size()) ++at;
      answer += list[at];
    }
    if (at == list.size() || answer.empty()) break;
    answers.push_back(std::move(answer));
  }
  if (answers.empty())
    throw DataError("data", "field \"targetValue\"",
                    text("expected (list (description ...)), got ", std::string(list.substr(0, 40))));
  return answers;
}

/// WebQuestions, a JSON array or JSON lines, with the fields of its three distributions: `utterance` and `targetValue`
/// (Stanford), `question` and `answers` (Hugging Face), `qText` and `answers` (brmson). Every answer is right.
inline std::vector<DatasetRow> webquestions(const std::filesystem::path& path) {
  return read_json_rows(
      path, {"utterance", "targetValue", "question", "qText", "answers", "url", "qId"}, [](const OrderedJson& row) {
        const bool first = row.contains("utterance");
        const std::string& question = json_fields::text(row, first                   ? "utterance"
                                                             : row.contains("qText") ? "qText"
                                                                                     : "question");
        std::vector<std::string> answers = first ? webquestions_descriptions(json_fields::text(row, "targetValue"))
                                                 : json_fields::texts(row, "answers");
        return question_row({{.text = "question:" + question}}, "answer", std::move(answers));
      });
}

}  // namespace greentrainer::forms
