#pragma once

#include <utility>
#include <vector>

#include "greentrainer/data/dataset.hpp"
#include "greentrainer/data/text_chunks.hpp"

namespace greentrainer {

namespace detail {

/// Examples laid end to end, with the line of each token.
struct JoinedTexts {
  Example all;
  std::vector<Extent> line_of_token;

  void append(const Example& example, Extent line) {
    all.input_ids.insert(all.input_ids.end(), example.input_ids.begin(), example.input_ids.end());
    all.labels.insert(all.labels.end(), example.labels.begin(), example.labels.end());
    line_of_token.resize(all.input_ids.size(), line);
  }
};

}  // namespace detail

/// Cuts the texts of a data set, which are whole yet, into examples of at most options.max_tokens, as options.packing
/// says; the line of each is that of the text that it begins in. Other rows fit already.
inline void pack_texts(Dataset& dataset, const DataOptions& options) {
  if (options.packing == Packing::none || options.max_tokens == 0) return;
  const std::vector<Example> whole = std::exchange(dataset.examples, {});
  const std::vector<Extent> lines = std::exchange(dataset.lines, {});
  const auto cut = [&](const detail::JoinedTexts& texts) {
    std::size_t begin = 0;
    for (Example& piece : chunks_of(texts.all, options.max_tokens)) {
      dataset.lines.push_back(texts.line_of_token[begin]);
      dataset.examples.push_back(std::move(piece));
      begin += static_cast<std::size_t>(options.max_tokens - 1);
    }
  };
  detail::JoinedTexts texts;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    texts.append(whole[i], lines[i]);
    if (options.packing == Packing::joined && i + 1 < whole.size()) continue;
    cut(std::exchange(texts, {}));
  }
}

}  // namespace greentrainer
