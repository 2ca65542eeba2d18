#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// What a data set asks of a model, and so how its answers are scored.
enum class DatasetTask {
  summary,  ///< a text that says the same shorter: ROUGE
  answer,   ///< a short answer: exact match and F1
  choice,   ///< one of a few labels, by their likelihood: accuracy
};

/// A text that is kept once, however many rows have it: a paragraph may have thousands of questions.
class SharedText {
 public:
  SharedText() = default;
  SharedText(std::string text) : text_(std::make_shared<const std::string>(std::move(text))) {}
  SharedText(const char* text) : SharedText(std::string(text)) {}
  operator std::string_view() const { return text_ ? std::string_view(*text_) : std::string_view(); }

 private:
  std::shared_ptr<const std::string> text_;
};

/// One row of a data set as text.
struct DatasetRow {
  /// A part of the prompt. Where the prompt is too long, parts lose their ends from the first part on, so that what
  /// tells the model what to do stays.
  struct Part {
    SharedText text;
    std::size_t kept = 0;    ///< bytes at the text's end that stay when tokens are cut
    bool separated = false;  ///< whether the model's EOS stands behind it
    bool is_cut = true;      ///< whether tokens of it go where the prompt is too long
  };

  Extent line = 0;                       ///< of the file, from 1
  std::vector<Part> prompt;              ///< what a model that only decodes reads before it answers
  std::vector<SharedText> shorter = {};  ///< the same prompt with less in it, which is taken where it does not fit
  std::string lead;                      ///< what stands between that prompt and its answer
  std::vector<Part> source;              ///< what an encoder reads instead; empty: the same as the prompt
  std::vector<std::string> references;   ///< right answers, at least one; the first is trained on
  std::vector<std::string> candidates;   ///< task `choice`: the labels there are, the right one among them
  std::size_t answer = 0;                ///< task `choice`: which of them is right
  bool is_rendered = false;              ///< by a chat template, which writes BOS where it belongs: none is added
  std::vector<std::string> unread = {};  ///< keys of the file's row that the form neither reads nor knows
};

/// A data set's own form.
struct DatasetForm {
  std::string_view name;
  DatasetTask task;
  std::string_view about;  ///< what its files are, for lists of them

  /// Reads a file. Throws LoadError if it cannot be read, DataError naming file and line of the first bad row.
  std::vector<DatasetRow> (*read)(const std::filesystem::path& path);
};

/// A prompt and what is to follow it, neither changed.
inline DatasetRow completion_row(const std::string& prompt, const std::string& completion) {
  return {.line = 0,
          .prompt = {{.text = prompt}},
          .lead = "",
          .source = {},
          .references = {completion},
          .candidates = {},
          .answer = 0};
}

/// The paper's prompts for summaries: `{source} TL;DR: {summary}`, and for encoder-decoders `summarize: {source}`.
inline DatasetRow summary_row(const std::string& source, std::vector<std::string> references) {
  constexpr std::string_view instruction = " TL;DR:";
  return {.line = 0,
          .prompt = {{.text = source + std::string(instruction), .kept = instruction.size()}},
          .lead = " ",
          .source = {{.text = "summarize: " + source}},
          .references = std::move(references),
          .candidates = {},
          .answer = 0};
}

/// The paper's prompts for questions: `name:{text}</s>` for each part, and `name:` for what is to be answered. `</s>`
/// is the model's EOS.
inline DatasetRow question_row(std::vector<DatasetRow::Part> fields, const std::string& asked,
                               std::vector<std::string> references) {
  for (DatasetRow::Part& field : fields) field.separated = true;
  fields.push_back({.text = asked + ":"});
  return {.line = 0,
          .prompt = std::move(fields),
          .lead = "",
          .source = {},
          .references = std::move(references),
          .candidates = {},
          .answer = 0};
}

/// A question whose answer is one of `labels`.
inline DatasetRow choice_row(std::vector<DatasetRow::Part> fields, const std::string& asked,
                             std::vector<std::string> labels, std::size_t answer) {
  DatasetRow row = question_row(std::move(fields), asked, {labels[answer]});
  row.candidates = std::move(labels);
  row.answer = answer;
  return row;
}

}  // namespace greentrainer
