#pragma once

#include <map>
#include <vector>

#include "greentrainer/executor/parameter_store.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/train/state_tensors.hpp"

namespace greentrainer {

/// A copy, in the host's memory, of the tensors that a run has trained, with their values at the run's best evaluation.
/// Until the first evaluation these are the values before training.
template <Backend B>
class BestWeights {
 public:
  using T = typename B::Scalar;
  using Copies = std::map<ParameterId, std::vector<T>>;

  /// Call it before the selected tensors are changed. Tensors that were never trained until now are copied, since they
  /// still have the values that they had at the best evaluation.
  void add(const Selection& trained, const ParameterStore<B>& weights) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(trained.mask().size()); ++id) {
      if (trained.contains(id) && !copies_.contains(id)) copies_[id] = weights[id].download();
    }
  }
  /// Stores the present weights as the best.
  void take(const ParameterStore<B>& weights) {
    for (auto& [id, copy] : copies_) copy = weights[id].download();
  }
  void put_back(ParameterStore<B>& weights) const {
    for (const auto& [id, copy] : copies_) weights[id].upload(copy);
  }

  const Copies& copies() const { return copies_; }
  Bytes bytes() const {
    Bytes total = 0;
    for (const auto& [id, copy] : copies_) total += static_cast<Bytes>(copy.size() * sizeof(T));
    return total;
  }

  /// Reads a tensor of a saved state. Requires that the file was checked to have it.
  void read(ParameterId id, Extent size, const SafetensorsFile& file, const std::string& name) {
    std::vector<T>& copy = copies_[id];
    copy.resize(static_cast<std::size_t>(size));
    file.read_part_as(name, 0, std::span(copy));
  }

 private:
  Copies copies_;
};

}  // namespace greentrainer
