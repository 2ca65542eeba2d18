#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/data/batch_sampler.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// The batches of a run: which examples each holds, and what they come to without being made. A step has as many as
/// gradients are accumulated over. The examples must outlive it.
class TrainingBatches {
 public:
  using Numbers = std::vector<std::size_t>;  ///< of the examples of one batch

  /// Throws DataError without examples, or for one that no batch can hold.
  TrainingBatches(std::span<const Example> examples, const FitOptions& options)
      : examples_(examples),
        batch_size_(static_cast<std::size_t>(options.batch_size)),
        sampler_(examples.size(), options.batch_size * options.gradient_accumulation, options.seed, options.shuffle),
        steps_(options.steps > 0 ? options.steps : options.epochs * sampler_.steps_per_epoch()) {
    for (std::size_t i = 0; i < examples.size(); ++i) {
      check_example(examples[i], i);
      workloads_.push_back(workload_of(examples[i]));
    }
  }

  /// Of examples that are known by what they come to alone: batches are priced, and cannot be made.
  TrainingBatches(std::vector<Workload> workloads, const FitOptions& options)
      : batch_size_(static_cast<std::size_t>(options.batch_size)),
        sampler_(workloads.size(), options.batch_size * options.gradient_accumulation, options.seed, options.shuffle),
        steps_(options.steps > 0 ? options.steps : options.epochs * sampler_.steps_per_epoch()),
        workloads_(std::move(workloads)) {}

  /// Of examples.
  std::size_t count() const { return workloads_.size(); }
  Extent steps() const { return steps_; }
  Extent steps_per_epoch() const { return sampler_.steps_per_epoch(); }
  std::span<const Example> examples() const { return examples_; }
  /// Of a batch with this example alone.
  const Workload& workload(std::size_t example) const { return workloads_[example]; }

  /// The batches of one step, in order.
  std::vector<Numbers> of_step(Extent step) const {
    const Numbers all = sampler_.batch_indices(step);
    std::vector<Numbers> batches;
    for (auto first = all.begin(); first != all.end();) {
      const auto count = std::min(static_cast<std::ptrdiff_t>(batch_size_), all.end() - first);
      batches.emplace_back(first, first + count);
      first += count;
    }
    return batches;
  }

  Batch make(const Numbers& numbers) const { return collate(examples_, numbers); }

  /// Of one batch of these examples; nothing of none.
  Workload workload_of_batch(const Numbers& numbers) const {
    Workload sum;
    for (const std::size_t i : numbers) sum += workloads_[i];
    sum[Measure::steps] = numbers.empty() ? 0 : 1;
    return sum;
  }
  /// Of all batches of the steps [first, end).
  Workload workload_of_steps(Extent first, Extent end) const {
    Workload sum;
    for (Extent step = first; step < end; ++step) {
      for (const Numbers& numbers : of_step(step)) sum += workload_of_batch(numbers);
    }
    return sum;
  }

 private:
  std::span<const Example> examples_;
  std::size_t batch_size_;
  BatchSampler sampler_;
  Extent steps_;
  std::vector<Workload> workloads_;
};

}  // namespace greentrainer
