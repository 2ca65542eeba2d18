#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/json_rows.hpp"

namespace greentrainer::forms {

/// DialogSum (cylnlp/dialogsum): JSON lines with `dialogue` and `summary`, or, in the test split, `summary1`,
/// `summary2` and so on by several people.
inline std::vector<DatasetRow> dialogsum(const std::filesystem::path& path) {
  return read_json_rows(path, {"fname", "id", "dialogue", "summary", "summaryN", "topic", "topicN"},
                        [](const OrderedJson& row) {
                          std::vector<std::string> references;
                          for (int i = 1; row.contains("summary" + std::to_string(i)); ++i)
                            references.push_back(json_fields::text(row, ("summary" + std::to_string(i)).c_str()));
                          if (references.empty()) references.push_back(json_fields::text(row, "summary"));
                          return summary_row(json_fields::text(row, "dialogue"), std::move(references));
                        });
}

}  // namespace greentrainer::forms
