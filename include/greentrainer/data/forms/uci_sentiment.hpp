#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/text_lines.hpp"

namespace greentrainer::forms {

/// UCI's "Sentiment Labelled Sentences": a sentence, a tab, and 1 for a positive or 0 for a negative one on each line.
inline std::vector<DatasetRow> uci_sentiment(const std::filesystem::path& path) {
  std::vector<DatasetRow> rows;
  for_each_line("load_dataset", path, read_data_file(path), [&](std::string_view line, Extent number) {
    const std::size_t tab = line.rfind('\t');
    const std::string_view label = tab == std::string_view::npos ? "" : line.substr(tab + 1);
    if (label != "0" && label != "1")
      throw DataError("data", "row",
                      text("expected a sentence, a tab and 0 or 1, got ", std::string(line.substr(0, 40))));
    std::string_view sentence = line.substr(0, tab);
    sentence = sentence.substr(0, sentence.find_last_not_of(" \t") + 1);  // npos + 1 is 0
    rows.push_back(choice_row({{.text = "sentence:" + std::string(sentence)}}, "sentiment", {"negative", "positive"},
                              label == "1" ? 1 : 0));
    rows.back().line = number;
  });
  return rows;
}

}  // namespace greentrainer::forms
