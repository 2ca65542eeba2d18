#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "greentrainer/data/dataset_forms.hpp"
#include "greentrainer/data/load_choices.hpp"
#include "greentrainer/data/row_encoder.hpp"
#include "greentrainer/data/text_lines.hpp"

namespace greentrainer {

GREENTRAINER_INLINE Choices load_choices(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                         const DataOptions& options) {
  const DatasetForm& form = dataset_form(options.dataset);
  if (form.task != DatasetTask::choice) {
    throw UsageError("load_choices", "dataset",
                     text("expected one whose rows have labels to choose from, got ", form.name));
  }
  const PromptEncoder encoder(tokenizer, options.max_tokens, options.truncation, options.target);
  const Extent vocabulary = options.vocabulary > 0 ? options.vocabulary : tokenizer.vocab_size();
  const auto encode = [&](const DatasetRow& row, Extent& truncated) {
    Choices::Row choice{.candidates = {}, .answer = row.answer, .line = row.line};
    const PromptEncoder::Candidates encoded = encoder.candidates(row, row.candidates);
    check_ids(encoded.prompt.ids, vocabulary);
    for (const std::vector<Index>& answer : encoded.answers) {
      check_ids(answer, vocabulary);
      choice.candidates.push_back(encoder.joined(encoded.prompt, answer));
    }
    truncated += encoded.prompt.truncated ? 1 : 0;
    return choice;
  };
  Choices choices;
  for (const DatasetRow& row : read_dataset(path, form.name, options.rows)) {
    with_line("load_choices", path, row.line, [&] { choices.rows.push_back(encode(row, choices.rows_truncated)); });
  }
  if (choices.rows.empty()) throw_no_row("load_choices", path, options.rows);
  return choices;
}

}  // namespace greentrainer
