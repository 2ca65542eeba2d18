#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "greentrainer/data/collate.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer {

/// What a model computes for each labelled row of the examples, in their order: rows of ModelFacts::outputs numbers,
/// logits or predictions. Labels mark the rows and are not read, targets may be left out. Throws DataError for
/// examples that the model cannot read, ConfigError for a batch size below 1.
template <Backend B>
std::vector<typename B::Scalar> predict(Model<B>& model, std::span<const Example> examples, Extent batch_size = 8) {
  expect_option(batch_size >= 1, "predict", "batch_size", "at least 1", batch_size);
  std::vector<typename B::Scalar> all;
  const auto most = static_cast<std::size_t>(batch_size);
  for (std::size_t first = 0; first < examples.size(); first += most) {
    std::vector<std::size_t> numbers(std::min(most, examples.size() - first));
    std::iota(numbers.begin(), numbers.end(), first);
    const auto outputs = model.outputs(collate(examples, numbers));
    all.insert(all.end(), outputs.begin(), outputs.end());
  }
  return all;
}

/// The class with the largest logit for each labelled row of the examples; of equal ones the first.
template <Backend B>
std::vector<Index> predict_classes(Model<B>& model, std::span<const Example> examples, Extent batch_size = 8) {
  const auto logits = predict(model, examples, batch_size);
  std::vector<Index> classes;
  const auto width = static_cast<std::ptrdiff_t>(model.facts().outputs());
  for (auto row = logits.begin(); row != logits.end(); row += width)
    classes.push_back(static_cast<Index>(std::max_element(row, row + width) - row));
  return classes;
}

}  // namespace greentrainer
