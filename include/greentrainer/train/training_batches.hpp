#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/data/batch_sampler.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/parallel/deal.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// The batches of a run: which examples each holds, and what they come to without being made. A step has as many as
/// gradients are accumulated over; with exact GradientSums, one for each of its examples. The examples must outlive it.
class TrainingBatches {
 public:
  using Numbers = std::vector<std::size_t>;  ///< of the examples of one batch

  /// `window`: that of the model's attention (TensorGraph::window), 0 for none. Throws DataError without examples, or
  /// for one that no batch can hold.
  TrainingBatches(std::span<const Example> examples, const FitOptions& options, Extent window = 0)
      : examples_(examples),
        batch_size_(static_cast<std::size_t>(options.batch_size)),
        pass_size_(pass_size_of(options)),
        sampler_(examples.size(), options.batch_size * options.gradient_accumulation, options.seed, options.shuffle),
        steps_(options.steps > 0 ? options.steps : options.epochs * sampler_.steps_per_epoch()) {
    workloads_.reserve(examples.size());
    for (std::size_t i = 0; i < examples.size(); ++i) {
      check_example(examples[i], i);
      workloads_.push_back(workload_of(examples[i], window));
    }
    add_up_epoch(options);
  }

  /// Of examples that are known by what they come to alone: batches are priced, and cannot be made.
  TrainingBatches(std::vector<Workload> workloads, const FitOptions& options)
      : batch_size_(static_cast<std::size_t>(options.batch_size)),
        pass_size_(pass_size_of(options)),
        sampler_(workloads.size(), options.batch_size * options.gradient_accumulation, options.seed, options.shuffle),
        steps_(options.steps > 0 ? options.steps : options.epochs * sampler_.steps_per_epoch()),
        workloads_(std::move(workloads)) {
    add_up_epoch(options);
  }

  /// Of examples.
  std::size_t count() const { return workloads_.size(); }
  Extent steps() const { return steps_; }
  Extent steps_per_epoch() const { return sampler_.steps_per_epoch(); }
  std::span<const Example> examples() const { return examples_; }
  /// Of a batch with this example alone.
  const Workload& workload(std::size_t example) const { return workloads_[example]; }

  /// Calls visit(numbers of the examples) for each batch of the steps [first, end), in order.
  template <class Visit>
  void for_each_batch(Extent first, Extent end, Visit visit) const {
    for (Extent step = first; step < end; ++step) {
      const std::span<const std::size_t> all = sampler_.view_indices(step);
      for (std::size_t at = 0; at < all.size(); at += pass_size_)
        visit(all.subspan(at, std::min(pass_size_, all.size() - at)));
    }
  }
  /// The batches of one step, in order.
  std::vector<Numbers> of_step(Extent step) const {
    std::vector<Numbers> batches;
    for_each_batch(step, step + 1,
                   [&](std::span<const std::size_t> numbers) { batches.emplace_back(numbers.begin(), numbers.end()); });
    return batches;
  }
  /// The examples of one step in groups of options.batch_size, whatever the passes that train them: importances are
  /// taken from these.
  std::vector<Numbers> groups_of_step(Extent step) const {
    std::vector<Numbers> groups;
    const std::span<const std::size_t> all = sampler_.view_indices(step);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i % batch_size_ == 0) groups.emplace_back();
      groups.back().push_back(all[i]);
    }
    return groups;
  }

  /// The batches of one step on each of several ranks: its examples are dealt whole, so that ranks have about as many
  /// tokens. Follows from the examples' lengths alone; for one rank as of_step.
  std::vector<std::vector<Numbers>> dealt(Extent step, int ranks) const {
    const std::span<const std::size_t> all = sampler_.view_indices(step);
    std::vector<Extent> tokens;
    for (const std::size_t i : all)
      tokens.push_back(workloads_[i][Measure::decoder_tokens] + workloads_[i][Measure::encoder_tokens]);
    std::vector<std::vector<Numbers>> batches;
    for (const std::vector<std::size_t>& places : deal(tokens, ranks)) {
      auto& of_rank = batches.emplace_back();
      for (std::size_t i = 0; i < places.size(); ++i) {
        if (i % pass_size_ == 0) of_rank.emplace_back();
        of_rank.back().push_back(all[places[i]]);
      }
    }
    return batches;
  }

  Batch make(const Numbers& numbers) const { return collate(examples_, numbers); }

  /// Of one batch of these examples; nothing of none.
  Workload workload_of_batch(std::span<const std::size_t> numbers) const {
    Workload sum;
    for (const std::size_t i : numbers) sum += workloads_[i];
    sum[Measure::steps] = numbers.empty() ? 0 : 1;
    return sum;
  }
  /// No batch is larger in any measure: for each, the examples that have the most of it together.
  Workload largest_batch() const { return largest_batch_of(workloads_, pass_size_); }
  /// The same for groups_of_step.
  Workload largest_group() const { return largest_batch_of(workloads_, batch_size_); }
  /// Of all batches of the steps [first, end). O(examples) for the epochs that are not whole.
  Workload workload_of_steps(Extent first, Extent end) const {
    const Extent whole = (first + steps_per_epoch() - 1) / steps_per_epoch() * steps_per_epoch();
    if (end - whole < steps_per_epoch()) return sum_of_steps(first, end);
    const Extent epochs = (end - whole) / steps_per_epoch();
    return sum_of_steps(first, whole) + epoch_ * epochs + sum_of_steps(whole + epochs * steps_per_epoch(), end);
  }

 private:
  static std::size_t pass_size_of(const FitOptions& options) {
    return options.gradient_sums == GradientSums::exact ? 1 : static_cast<std::size_t>(options.batch_size);
  }
  void add_up_epoch(const FitOptions& options) {
    for (const Workload& workload : workloads_) epoch_ += workload;
    const Extent size = static_cast<Extent>(pass_size_), in_step = options.batch_size * options.gradient_accumulation;
    const Extent last_step = static_cast<Extent>(count()) - (steps_per_epoch() - 1) * in_step;
    epoch_[Measure::steps] = (steps_per_epoch() - 1) * (in_step / size) + (last_step + size - 1) / size;
  }

  Workload sum_of_steps(Extent first, Extent end) const {
    Workload sum;
    Extent count = 0;
    for_each_batch(first, end, [&](std::span<const std::size_t> numbers) {
      for (const std::size_t i : numbers) sum += workloads_[i];
      ++count;
    });
    sum[Measure::steps] = count;
    return sum;
  }

  std::span<const Example> examples_;
  std::size_t batch_size_, pass_size_;
  BatchSampler sampler_;
  Extent steps_;
  std::vector<Workload> workloads_;
  Workload epoch_;  ///< of all batches of an epoch
};

}  // namespace greentrainer
