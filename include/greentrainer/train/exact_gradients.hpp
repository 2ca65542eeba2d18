#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/executor/parameter_store.hpp"
#include "greentrainer/parallel/exact_sum.hpp"
#include "greentrainer/parallel/ranks.hpp"

namespace greentrainer {

/// Adds up the gradients of a selection, one example's after the other, so that the sums have the same bits whichever
/// rank has which examples. Takes ExactSum's integers for each selected number, in the host's memory: 16 bytes for a
/// float. Each rank hands over as many, once a step, and 8 bytes for each tensor.
template <Backend B>
class ExactGradients {
 public:
  using T = typename B::Scalar;
  using Sum = ExactSum<T>;
  /// For each selected number, kept and handed over.
  static constexpr Bytes bytes_per_number = static_cast<Bytes>(sizeof(std::int64_t) * Sum::words);

  explicit ExactGradients(B& backend) : backend_(&backend) {}

  /// Holds memory for this selection alone; all sums are 0.
  void begin(const TensorGraph<B>& graph, const Selection& selection) {
    std::size_t numbers = 0;
    for_each(graph, selection, [&](ParameterId, std::size_t size) { numbers += size; });
    if (memory_.size() != Sum::integers(numbers)) std::vector<std::int64_t>(Sum::integers(numbers)).swap(memory_);
    sums_.clear();
    std::size_t first = 0, largest = 0;
    for_each(graph, selection, [&](ParameterId id, std::size_t size) {
      sums_.emplace_back(id, Sum(std::span(memory_).subspan(first, Sum::integers(size))));
      first += Sum::integers(size);
      largest = std::max(largest, size);
    });
    if (staged_.size() != largest) std::vector<T>(largest).swap(staged_);
  }
  /// Adds the gradients of one example.
  void add(GradientStore<B>& gradients) {
    for (auto& [id, sum] : sums_) {
      const std::span<T> host = std::span(staged_).first(sum.count());
      backend_->copy_to_host(host.data(), gradients[id].data(), static_cast<Bytes>(host.size_bytes()));
      sum.add(host);
    }
  }
  /// Sums over ranks, in buckets of so many integers; all get the same gradients, of the same bits for any number of
  /// ranks. All must have the same selection.
  void sum(GradientStore<B>& gradients, Ranks& ranks, std::size_t bucket) {
    std::vector<std::int64_t> tops;
    for (const auto& [id, sum] : sums_) tops.push_back(sum.top());
    ranks.largest(std::span<std::int64_t>(tops), Traffic::control);
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i].second.raise(tops[i]);
    const std::span<std::int64_t> all(memory_);
    for (std::size_t first = 0; first < all.size(); first += bucket)
      ranks.sum(all.subspan(first, std::min(bucket, all.size() - first)), Traffic::gradients);
    for (const auto& [id, sum] : sums_) {
      const std::span<T> host = std::span(staged_).first(sum.count());
      sum.round(host);
      backend_->copy_from_host(gradients[id].data(), host.data(), static_cast<Bytes>(host.size_bytes()));
    }
  }

  /// What `begin` takes.
  template <class P>
  static Bytes bytes_for(const TensorGraph<P>& graph, const Selection& selection) {
    std::size_t numbers = 0, largest = 0;
    for_each(graph, selection, [&](ParameterId, std::size_t size) {
      numbers += size;
      largest = std::max(largest, size);
    });
    return static_cast<Bytes>(Sum::integers(numbers) * sizeof(std::int64_t) + largest * sizeof(T));
  }
  /// Held now.
  Bytes bytes() const { return static_cast<Bytes>(memory_.size() * sizeof(std::int64_t) + staged_.size() * sizeof(T)); }

 private:
  template <class P, class Use>
  static void for_each(const TensorGraph<P>& graph, const Selection& selection, const Use& use) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (selection.contains(id)) use(id, static_cast<std::size_t>(graph.parameter(id).size()));
    }
  }

  B* backend_;
  std::vector<std::int64_t> memory_;
  std::vector<std::pair<ParameterId, Sum>> sums_;
  std::vector<T> staged_;  ///< one tensor
};

}  // namespace greentrainer
