#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/graph/memory_layout.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// Memory of a pass: values, their gradients and the operators' workspace, in one block that grows to the largest pass.
template <Backend B>
class ActivationArena {
 public:
  using T = typename B::Scalar;

  struct Block {
    T* data;
    Bytes bytes;
  };

  explicit ActivationArena(B& backend) : backend_(&backend) {}

  /// Places everything for one workload where it lies for `laid_out_for`, which is no smaller; what was there is lost.
  void lay_out(const TensorGraph<B>& graph, const Lifetimes& lifetimes, const Workload& workload,
               const Workload& laid_out_for) {
    const Bytes element = static_cast<Bytes>(sizeof(T));
    const MemoryLayout layout = make_memory_layout(lifetimes, laid_out_for, element);
    Extent workspace = 0;
    for (const auto& node : graph.operators()) workspace = std::max(workspace, node.op->workspace(laid_out_for));
    const Extent needed = (layout.total + MemoryLayout::aligned(workspace * element)) / element;
    if (memory_.size() < needed) {
      memory_ = {};  // free before asking for more
      memory_ = Tensor<B>(*backend_, 1, needed);
    }
    workspace_ = memory_.data() + layout.total / element;

    blocks_.clear();
    for (std::size_t s = 0; s < lifetimes.storages.size(); ++s) {
      blocks_.push_back({memory_.data() + layout.offsets[s] / element,
                         Lifetimes::elements(lifetimes.storages[s], workload) * element});
    }
    const auto at = [&](ValueId value, int storage) {
      const ValueShape& shape = graph.value(value).shape;
      return Matrix<T>(blocks_[static_cast<std::size_t>(storage)].data, shape.row_count(workload), shape.cols);
    };
    placed_.clear();
    for (const auto& placement : lifetimes.values) placed_.push_back(at(placement.value, placement.storage));
    gradients_.assign(graph.values().size(), {});
    for (std::size_t v = 0; v < lifetimes.gradient_storage.size(); ++v) {
      const int storage = lifetimes.gradient_storage[v];
      if (storage >= 0) gradients_[v] = at(static_cast<ValueId>(v), storage);
    }
  }

  /// Gives the block back; what lay in it is lost.
  void release() { memory_ = {}; }

  /// Of each placement of the lifetimes.
  const std::vector<Matrix<T>>& placed() const { return placed_; }
  /// Of each value of the graph; gradients that the plan does not form are empty.
  const std::vector<Matrix<T>>& gradients() const { return gradients_; }
  /// Of each storage of the lifetimes.
  const std::vector<Block>& blocks() const { return blocks_; }
  T* workspace() const { return workspace_; }
  Bytes bytes() const { return memory_.bytes(); }

 private:
  B* backend_;
  Tensor<B> memory_;
  T* workspace_ = nullptr;
  std::vector<Block> blocks_;
  std::vector<Matrix<T>> placed_, gradients_;
};

}  // namespace greentrainer
