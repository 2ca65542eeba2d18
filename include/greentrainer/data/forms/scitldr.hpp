#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/json_rows.hpp"

namespace greentrainer::forms {

/// SciTLDR (allenai/scitldr): JSON lines with `source`, an abstract's sentences, and `target`, one or more summaries of
/// one sentence.
inline std::vector<DatasetRow> scitldr(const std::filesystem::path& path) {
  return read_json_rows(path, {"source", "target", "source_labels", "rouge_scores", "paper_id", "title", "ic"},
                        [](const OrderedJson& row) {
                          std::string source;
                          for (const std::string& sentence : json_fields::texts(row, "source"))
                            source += (source.empty() ? "" : " ") + sentence;
                          return summary_row(source, json_fields::texts(row, "target"));
                        });
}

}  // namespace greentrainer::forms
