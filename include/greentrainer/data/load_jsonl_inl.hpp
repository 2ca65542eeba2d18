#pragma once

#include <filesystem>
#include <string_view>

#include "greentrainer/data/dataset_forms.hpp"
#include "greentrainer/data/line_row.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/data/pack_texts.hpp"
#include "greentrainer/data/row_encoder.hpp"
#include "greentrainer/data/text_lines.hpp"

namespace greentrainer {

GREENTRAINER_INLINE Dataset load_jsonl(const std::filesystem::path& path, const Tokenizer* tokenizer,
                                       const DataOptions& options) {
  const RowEncoder encoder(tokenizer, options);
  Dataset dataset;
  if (!options.dataset.empty()) {
    for (const DatasetRow& row : read_dataset(path, options.dataset, options.rows)) {
      with_line("load_jsonl", path, row.line, [&] { encoder.add(row, dataset); });
    }
  } else {
    for_each_line("load_jsonl", path, read_data_file(path), options.rows, [&](std::string_view line, Extent number) {
      encoder.add(line_row(path, line, "text"), number, dataset);
    });
  }
  if (dataset.rows == 0) throw_no_row("load_jsonl", path, options.rows);
  if (dataset.examples.empty()) {
    throw DataError("load_jsonl", path.string(),
                    text("expected at least one row with labelled tokens",
                         options.max_tokens > 0 ? text(" that fit into ", options.max_tokens) : "", ", got none among ",
                         dataset.rows, " rows; allow more tokens, or look at the labels"));
  }
  pack_texts(dataset, options);
  return dataset;
}

}  // namespace greentrainer
