#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Which examples each step sees: every example once an epoch, in an order that depends on seed and epoch alone. A pure
/// function of the step, so a run can be resumed anywhere. The last batch of an epoch may be smaller. An epoch's order
/// is made once and kept until another epoch is asked for. Not thread-safe.
class BatchSampler {
 public:
  /// Throws DataError without examples, ConfigError for a batch size below 1.
  BatchSampler(std::size_t examples, Extent batch_size, std::uint64_t seed, bool shuffle)
      : examples_(static_cast<Extent>(examples)), batch_size_(batch_size), seed_(seed), shuffle_(shuffle) {
    if (examples == 0) throw DataError("BatchSampler", "examples", "expected at least one, got none");
    if (batch_size < 1) throw ConfigError("BatchSampler", "batch_size", text("expected at least 1, got ", batch_size));
  }

  Extent steps_per_epoch() const { return (examples_ + batch_size_ - 1) / batch_size_; }

  /// Numbers of the examples of a step, counted from 0 over all epochs.
  std::vector<std::size_t> batch_indices(Extent step) const {
    const std::span<const std::size_t> numbers = view_indices(step);
    return {numbers.begin(), numbers.end()};
  }
  /// The same where they are kept: good until a step of another epoch is asked for.
  std::span<const std::size_t> view_indices(Extent step) const {
    const std::vector<std::size_t>& order = order_of(step / steps_per_epoch());
    const Extent first = step % steps_per_epoch() * batch_size_;
    const Extent last = std::min(examples_, first + batch_size_);
    return std::span(order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
  }

 private:
  const std::vector<std::size_t>& order_of(Extent epoch) const {
    if (epoch == epoch_) return order_;
    order_.resize(static_cast<std::size_t>(examples_));
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (shuffle_) CounterRandom(seed_, "shuffle", static_cast<std::uint64_t>(epoch)).shuffle(std::span(order_));
    epoch_ = epoch;
    return order_;
  }

  Extent examples_;
  Extent batch_size_;
  std::uint64_t seed_;
  bool shuffle_;
  mutable Extent epoch_ = -1;  ///< that order_ is of
  mutable std::vector<std::size_t> order_;
};

}  // namespace greentrainer
