#pragma once

#include <string_view>

#include "greentrainer/tokenizers/text_budget.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

/// Rewrites a text before it is split: the "normalizer" of tokenizer.json.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Throws DataError for a text that a rule takes more steps on, or makes longer, than the budget allows.
  virtual TracedText normalize(TracedText text, TextBudget& budget) const = 0;

 protected:
  static constexpr std::string_view part = "normalizer";  // of the tokenizer's file, for errors
};

}  // namespace greentrainer
