#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/generate/generated.hpp"
#include "greentrainer/generate/token_scores.hpp"

namespace greentrainer {

/// Beam search for one prompt, step by step as transformers' generate does it: which continuations are looked at, which
/// of them count as finished, and when to stop. It is fed the logits behind its beams and says which tokens they go on
/// with; it knows no model.
class BeamSearch {
 public:
  /// `context`: what the decoder has read. The number of the prompt plays no part: nothing is drawn.
  BeamSearch(std::vector<Index> context, const GenerateOptions& options, std::size_t = 0)
      : options_(&options),
        prompt_(context.size()),
        width_(static_cast<std::size_t>(options.beams)),
        beams_{Beam{std::move(context), 0, 0}} {}

  /// Takes the logits, (sequences, vocabulary).
  template <class T>
  void advance(std::span<const T> logits) {
    const std::vector<Candidate> best = best_continuations(logits);
    const double tokens = static_cast<double>(++new_tokens_);
    const double length = std::pow(tokens, options_->length_penalty);
    const bool last = new_tokens_ == options_->max_new_tokens;
    const bool closed = options_->early_stopping && finished_.size() == width_;
    std::vector<Beam> next;
    for (std::size_t rank = 0; rank < best.size(); ++rank) {
      const Candidate& c = best[rank];
      const bool ended = is_end(c.token, *options_);
      if (!ended && !last && next.size() == width_) continue;
      Beam beam{beams_[c.beam].context, c.score, c.beam};
      beam.context.push_back(c.token);
      if (!ended && !last)
        next.push_back(std::move(beam));
      else if (rank < width_ && !closed)
        finish(std::move(beam), ended, c.score / length);  // the others are there so that enough beams go on
    }
    beams_ = std::move(next);
    // As in transformers, the best beam is taken to keep its score per token.
    const bool hopeless =
        finished_.size() == width_ && !beams_.empty() && beams_.front().score / length <= finished_.back().score;
    done_ = beams_.empty() || hopeless || (options_->early_stopping && finished_.size() == width_);
  }

  bool done() const { return done_; }
  /// The best finished beam. Requires done().
  Generated result() const { return finished_.front(); }

  /// Sequences that go on, the best first: each with this token, from that sequence of the last step.
  std::size_t sequences() const { return beams_.size(); }
  Index token(std::size_t i) const { return beams_[i].context.back(); }
  std::size_t parent(std::size_t i) const { return beams_[i].parent; }

 private:
  struct Beam {
    std::vector<Index> context;
    double score = 0;  ///< log-probability of its new tokens
    std::size_t parent = 0;
  };
  struct Candidate {
    double score;
    std::size_t beam;
    Index token;
    bool operator>(const Candidate& other) const {
      return score != other.score ? score > other.score : std::pair(beam, token) < std::pair(other.beam, other.token);
    }
  };

  /// The best continuations of all beams together, the best first: as many that `width_` of them go on even if every
  /// beam's best ones end it.
  template <class T>
  std::vector<Candidate> best_continuations(std::span<const T> logits) {
    const std::size_t wanted = std::max<std::size_t>(2, 1 + options_->eos_ids.size()) * width_;
    const std::size_t vocabulary = logits.size() / beams_.size();
    std::vector<Candidate> heap;  // the worst in front
    for (std::size_t b = 0; b < beams_.size(); ++b) {
      log_probabilities_from_logits(logits.subspan(b * vocabulary, vocabulary), scores_);
      process_scores(scores_, beams_[b].context, new_tokens_, *options_);
      for (std::size_t id = 0; id < vocabulary; ++id) {
        const Candidate c{beams_[b].score + scores_[id], b, static_cast<Index>(id)};
        if (heap.size() == wanted) {
          if (!(c > heap.front())) continue;
          std::pop_heap(heap.begin(), heap.end(), std::greater<>());
          heap.pop_back();
        }
        heap.push_back(c);
        std::push_heap(heap.begin(), heap.end(), std::greater<>());
      }
    }
    std::sort(heap.begin(), heap.end(), std::greater<>());
    return heap;
  }

  /// Keeps the best `width_` finished beams, the best first; of equal ones the earlier.
  void finish(Beam beam, bool ended, double score) {
    Generated generated{.ids = {beam.context.begin() + static_cast<std::ptrdiff_t>(prompt_), beam.context.end()},
                        .ended = ended,
                        .score = score};
    const auto place = std::upper_bound(finished_.begin(), finished_.end(), score,
                                        [](double s, const Generated& g) { return s > g.score; });
    finished_.insert(place, std::move(generated));
    if (finished_.size() > width_) finished_.pop_back();
  }

  const GenerateOptions* options_;
  std::size_t prompt_;
  std::size_t width_;
  std::vector<Beam> beams_;
  std::vector<Generated> finished_;
  std::vector<double> scores_;
  Extent new_tokens_ = 0;
  bool done_ = false;
};

}  // namespace greentrainer
