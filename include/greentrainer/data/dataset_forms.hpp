#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/forms/dialogsum.hpp"
#include "greentrainer/data/forms/piqa.hpp"
#include "greentrainer/data/forms/scitldr.hpp"
#include "greentrainer/data/forms/squad.hpp"
#include "greentrainer/data/forms/uci_sentiment.hpp"
#include "greentrainer/data/forms/webquestions.hpp"
#include "greentrainer/data/row_range.hpp"

namespace greentrainer {

/// The data sets that are known by name: one line each.
inline constexpr std::array dataset_forms = {
    DatasetForm{"scitldr", DatasetTask::summary, "SciTLDR, JSON lines", forms::scitldr},
    DatasetForm{"dialogsum", DatasetTask::summary, "DialogSum, JSON lines", forms::dialogsum},
    DatasetForm{"webquestions", DatasetTask::answer, "WebQuestions, JSON", forms::webquestions},
    DatasetForm{"squad", DatasetTask::answer, "SQuAD 1.1, JSON", forms::squad},
    DatasetForm{"xquad", DatasetTask::answer, "XQuAD, JSON as SQuAD's", forms::squad},
    DatasetForm{"piqa", DatasetTask::choice, "PIQA, JSON lines", forms::piqa},
    DatasetForm{"uci_sentiment", DatasetTask::choice, "UCI's Sentiment Labelled Sentences, tab-separated",
                forms::uci_sentiment},
};

/// Throws UsageError for an unknown name.
inline const DatasetForm& dataset_form(std::string_view name) {
  std::string known;
  for (const DatasetForm& form : dataset_forms) {
    if (form.name == name) return form;
    known += text(known.empty() ? "" : ", ", form.name);
  }
  throw UsageError("dataset", text("dataset: expected one of ", known, ", got ", name));
}

/// Rows of a data set's file. Throws UsageError for an unknown name, LoadError if it cannot be read, DataError naming
/// file and line of a bad row.
inline std::vector<DatasetRow> read_dataset(const std::filesystem::path& path, std::string_view name,
                                            const RowRange& range) {
  std::vector<DatasetRow> rows = dataset_form(name).read(path);
  range.keep(rows);
  return rows;
}

}  // namespace greentrainer
