#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/core/random.hpp"
#include "greentrainer/generate/generated.hpp"
#include "greentrainer/generate/token_scores.hpp"

namespace greentrainer {

/// Generates one sequence token by token: the most probable one each time, or one drawn. Like BeamSearch, it is fed the
/// logits behind its sequences and says which tokens these go on with; it knows no model.
class SequenceSampler {
 public:
  /// `context`: what the decoder has read. `number`: of the prompt; draws for one do not depend on the others.
  SequenceSampler(std::vector<Index> context, const GenerateOptions& options, std::size_t number)
      : options_(&options),
        context_(std::move(context)),
        prompt_(context_.size()),
        random_(options.seed, "sampling", number) {}

  /// Takes the logits, (1, vocabulary).
  template <class T>
  void advance(std::span<const T> logits) {
    scores_from_logits(logits, scores_);
    process_scores(scores_, context_, new_tokens(), *options_);
    if (std::ranges::all_of(scores_, [](double score) { return score == banned_score; })) {
      throw ConfigError("generate", text("token ", new_tokens() + 1),
                        text("expected one that may follow, got none; min_new_tokens and no_repeat_ngram_size",
                             " with these end-of-sequence ids rule all of them out"));
    }
    if (options_->temperature > 0) shape_distribution(scores_, *options_);
    const auto best = static_cast<Index>(std::max_element(scores_.begin(), scores_.end()) - scores_.begin());
    context_.push_back(options_->temperature > 0 ? draw(scores_, random_.uniform()) : best);
    ended_ = is_end(context_.back(), *options_);
  }

  bool done() const { return ended_ || new_tokens() == options_->max_new_tokens; }
  Generated result() const {
    return {.ids = {context_.begin() + static_cast<std::ptrdiff_t>(prompt_), context_.end()}, .ended = ended_};
  }

  /// Sequences that go on: one, with this token, from itself.
  std::size_t sequences() const { return 1; }
  Index token(std::size_t) const { return context_.back(); }
  std::size_t parent(std::size_t) const { return 0; }
  /// All that the decoder has read, with the token that goes on.
  const std::vector<Index>& context() const { return context_; }

 private:
  Extent new_tokens() const { return static_cast<Extent>(context_.size() - prompt_); }

  const GenerateOptions* options_;
  std::vector<Index> context_;
  std::size_t prompt_;
  CounterRandom random_;
  std::vector<double> scores_;
  bool ended_ = false;
};

}  // namespace greentrainer
