#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "greentrainer/executor/parameter_store.hpp"
#include "greentrainer/parallel/ranks.hpp"

namespace greentrainer {

/// Sums the gradients of a selection over ranks: each number once, in buckets of one size, whatever tensors they are
/// of, so that the host needs no more memory than one bucket. Nothing else is sent.
template <Backend B>
class GradientExchange {
 public:
  using T = typename B::Scalar;
  static constexpr std::size_t bucket_elements = std::size_t{1} << 20;

  explicit GradientExchange(B& backend) : backend_(&backend) {}

  /// All ranks must give the same selection. All get the same bits.
  void sum(const TensorGraph<B>& graph, const Selection& selection, GradientStore<B>& gradients, Ranks& ranks) {
    if (ranks.is_alone()) return;
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (!selection.contains(id)) continue;
      const Tensor<B>& gradient = gradients[id];
      for (Extent done = 0; done < gradient.size();) {
        done += take(gradient.data() + done, gradient.size() - done);
        if (bucket_.size() == bucket_elements) exchange(ranks);
      }
    }
    exchange(ranks);
  }

 private:
  /// Numbers of one gradient in the bucket.
  struct Piece {
    T* gradient = nullptr;
    std::size_t first = 0, count = 0;
  };

  /// Puts as many of `count` numbers into the bucket as fit; returns how many.
  Extent take(T* gradient, Extent count) {
    const Piece piece{gradient, bucket_.size(),
                      std::min(static_cast<std::size_t>(count), bucket_elements - bucket_.size())};
    bucket_.resize(piece.first + piece.count);
    backend_->copy_to_host(bucket_.data() + piece.first, gradient, bytes_of(piece));
    pieces_.push_back(piece);
    return static_cast<Extent>(piece.count);
  }
  void exchange(Ranks& ranks) {
    ranks.sum(std::span<T>(bucket_), Traffic::gradients);
    for (const Piece& piece : pieces_)
      backend_->copy_from_host(piece.gradient, bucket_.data() + piece.first, bytes_of(piece));
    pieces_.clear();
    bucket_.clear();
  }
  static Bytes bytes_of(const Piece& piece) { return static_cast<Bytes>(piece.count * sizeof(T)); }

  B* backend_;
  std::vector<T> bucket_;
  std::vector<Piece> pieces_;
};

}  // namespace greentrainer
