#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// The index of the i-th of `count` examples spread evenly over `of`.
inline std::size_t spread_index(std::size_t i, std::size_t count, std::size_t of) { return i * of / count; }

/// The examples that a fit evaluates: those of FitOptions::validation, or of the training examples where there are
/// none. Where there are more than FitOptions::evaluation_examples, as many, spread over the whole, and the same for
/// every seed, so that losses of runs compare.
class EvaluationSample {
 public:
  /// The examples must outlive it.
  EvaluationSample(std::span<const Example> training, const FitOptions& options)
      : held_out_(!options.validation.empty()), all_(held_out_ ? options.validation : training) {
    const Extent most = options.evaluation_examples > 0 ? options.evaluation_examples
                        : held_out_                     ? static_cast<Extent>(all_.size())
                                                        : usual_evaluation_examples;
    if (all_.size() <= static_cast<std::size_t>(most)) return;
    const auto count = static_cast<std::size_t>(most);
    for (std::size_t i = 0; i < count; ++i) drawn_.push_back(all_[spread_index(i, count, all_.size())]);
  }

  std::span<const Example> examples() const { return drawn_.empty() ? all_ : std::span<const Example>(drawn_); }
  /// How many there are to take from.
  std::size_t of() const { return all_.size(); }
  /// Whether they are FitOptions::validation's.
  bool held_out() const { return held_out_; }

 private:
  bool held_out_;
  std::span<const Example> all_;
  std::vector<Example> drawn_;
};

}  // namespace greentrainer
