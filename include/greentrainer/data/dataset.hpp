#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/data/ignored_keys.hpp"
#include "greentrainer/data/row_range.hpp"
#include "greentrainer/data/source_and_target.hpp"
#include "greentrainer/data/text_chunks.hpp"
#include "greentrainer/data/truncation.hpp"

namespace greentrainer {

struct DataOptions {
  Extent max_tokens = 0;  ///< of an example, BOS and EOS included; 0: the model's positions, without a model any number
  std::string dataset = {};  ///< a data set's own form, see dataset_forms; empty: JSON lines, by the fields of each row
  RowRange rows = {};        ///< all
  Extent vocabulary = 0;     ///< ids must be below this; 0: the tokenizer's size
  std::optional<TargetOptions> target = {};   ///< for encoder-decoder models; max_tokens is then their source's
  Truncation truncation = Truncation::turns;  ///< what goes where a row has more than max_tokens
  Packing packing = Packing::none;            ///< of rows of text, which then lose nothing
};

/// Examples ready to train on, and what became of the file's rows.
struct Dataset {
  std::vector<Example> examples;
  std::vector<Extent> lines;  ///< of the file, from 1, for each example
  Extent rows = 0;
  Extent rows_dropped =
      0;  ///< without a labelled token that could be predicted, or with a completion that does not fit
  Extent rows_truncated = 0;
  Extent first_truncated_line = 0;     ///< of the file; 0: no row was truncated
  Extent turns_dropped = 0;            ///< of conversations that were truncated
  IgnoredKeys ignored_keys;            ///< of rows and messages: not read
  std::vector<Index> end_of_turn_ids;  ///< that the assistant's turns end with: see save_pretrained

  /// Adds what became of the row on this line; nothing, or an example without a label that could be predicted, is
  /// counted as dropped.
  void add(std::optional<Example> example, Extent line, bool truncated) {
    ++rows;
    const bool labelled = example && std::any_of(example->labels.begin() + 1, example->labels.end(),
                                                 [](Index label) { return label != ignore_label; });
    if (!labelled) {
      ++rows_dropped;
      return;
    }
    if (truncated && rows_truncated++ == 0) first_truncated_line = line;
    examples.push_back(std::move(*example));
    lines.push_back(line);
  }
};

/// Throws DataError for an id that a model with this vocabulary does not have; 0: any will do.
inline void check_ids(const std::vector<Index>& ids, Extent vocabulary) {
  for (const Index id : ids) {
    if (id < 0 || (vocabulary > 0 && id >= vocabulary)) {
      throw DataError(
          "data", "token id",
          text("expected 0 to ", vocabulary - 1, ", got ", id, "; does the tokenizer belong to this model?"));
    }
  }
}

}  // namespace greentrainer
