#pragma once

#include <span>
#include <vector>

#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// Index arrays on their way to a backend: gathered on the host, brought over with one copy into memory that grows to
/// the largest block.
template <Backend B>
class IndexBlock {
 public:
  explicit IndexBlock(B& backend) : backend_(&backend) {}

  void clear() { host_.clear(); }
  /// Adds an array; the result finds it again once it is uploaded.
  std::size_t place(std::span<const Index> values) {
    const std::size_t at = host_.size();
    host_.insert(host_.end(), values.begin(), values.end());
    return at;
  }
  void upload() {
    if (device_.size() < static_cast<Extent>(host_.size())) {
      device_ = {};  // free before asking for more
      device_ = Tensor<B, Index>(*backend_, 1, static_cast<Extent>(host_.size()));
    }
    device_.upload(host_);
  }
  /// Valid until the next upload.
  const Index* operator[](std::size_t at) const { return device_.data() + at; }

 private:
  B* backend_;
  Tensor<B, Index> device_;
  std::vector<Index> host_;
};

}  // namespace greentrainer
