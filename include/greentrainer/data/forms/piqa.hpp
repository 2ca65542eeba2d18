#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/json_rows.hpp"

namespace greentrainer::forms {

/// The labels of `valid-labels.lst` beside `valid.jsonl`, one a line; nothing where there is no such file.
inline std::optional<std::vector<std::size_t>> piqa_labels_beside(const std::filesystem::path& path) {
  const std::filesystem::path beside = path.parent_path() / (path.stem().string() + "-labels.lst");
  std::error_code error;
  if (!std::filesystem::exists(beside, error)) return std::nullopt;
  std::vector<std::size_t> labels;
  for_each_line("load_dataset", beside, read_data_file(beside), [&](std::string_view line, Extent) {
    if (line != "0" && line != "1")
      throw DataError("data", "label", text("expected 0 or 1, got ", std::string(line.substr(0, 40))));
    labels.push_back(line == "1" ? 1 : 0);
  });
  return labels;
}

/// PIQA: JSON lines with `goal`, `sol1`, `sol2` and `label`, 0 where the first solution is right, 1 where the second
/// is. Rows without `label`, as in its first distribution, have theirs in a file beside: see piqa_labels_beside.
inline std::vector<DatasetRow> piqa(const std::filesystem::path& path) {
  std::optional<std::vector<std::size_t>> labels;
  bool looked_beside = false;
  std::size_t number = 0;
  const auto label_of = [&](const OrderedJson& row) -> std::size_t {
    const auto found = row.find("label");
    if (found != row.end()) {
      if (!found->is_number_integer() || (*found != 0 && *found != 1))
        throw DataError("data", "field \"label\"",
                        text("expected 0 or 1, got ", found->dump(-1, ' ', true).substr(0, 40)));
      return found->get<std::size_t>();
    }
    if (!looked_beside) labels = piqa_labels_beside(path);
    looked_beside = true;
    if (!labels || number >= labels->size()) {
      throw DataError("data", "field \"label\"",
                      text("expected 0 or 1, here or in ", path.stem().string(), "-labels.lst beside the file, got ",
                           labels ? text("only ", labels->size(), " labels there") : "neither"));
    }
    return (*labels)[number];
  };
  return read_json_rows(path, {"goal", "sol1", "sol2", "label", "id"}, [&](const OrderedJson& row) {
    const std::size_t label = label_of(row);
    ++number;
    return choice_row({{.text = "goal:" + json_fields::text(row, "goal")},
                       {.text = "sol1:" + json_fields::text(row, "sol1")},
                       {.text = "sol2:" + json_fields::text(row, "sol2")}},
                      "label", {"0", "1"}, label);
  });
}

}  // namespace greentrainer::forms
