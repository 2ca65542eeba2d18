#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/executor/parameter_store.hpp"
#include "greentrainer/graph/pass_plan.hpp"
#include "greentrainer/parallel/ranks.hpp"

namespace greentrainer {

/// The order in which a pass completes the gradients of parameters.
template <class P>
std::vector<ParameterId> completion_order(const TensorGraph<P>& graph, const PassPlan& plan) {
  std::vector<ParameterId> order;
  std::vector<bool> seen(graph.parameters().size(), false);
  for (auto step = plan.steps.rbegin(); step != plan.steps.rend(); ++step) {
    if (!step->is_backward()) continue;
    const auto& node = graph.op(step->op);
    const auto& parts = node.op->parts();
    for (std::size_t p = parts.size(); p-- > 0;) {
      if (parts[p].kind != GradPart::Kind::parameter || ((step->parts >> p) & 1U) == 0) continue;
      const ParameterId id = node.parameters[static_cast<std::size_t>(parts[p].index)];
      if (seen[static_cast<std::size_t>(id)]) continue;  // a later step adds to it
      seen[static_cast<std::size_t>(id)] = true;
      order.push_back(id);
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

/// Sums gradients over ranks while the last pass of a step is still running: where that pass puts its gradients. Each
/// number is handed over once, in buckets of one size, whatever tensors they are of; nothing else is sent. Sums have
/// the same bits for any size of buckets. The host holds as many buckets as are on the way.
template <Backend B>
class GradientExchange final : public GradientSink<B> {
 public:
  using T = typename B::Scalar;
  /// Buckets; one more waits for the oldest.
  static constexpr std::size_t most_on_the_way = 4;

  explicit GradientExchange(B& backend) : backend_(&backend) {}

  /// Begins with the gradients of a step, which `gradients` has of earlier passes: those of the selection, in the order
  /// in which a pass completes them. Both must be the same on all ranks. A rank without a pass goes on with `finish`.
  /// `gradients` and `ranks` must live until then.
  void begin(const Selection& selection, const std::vector<ParameterId>& order, GradientStore<B>& gradients,
             Ranks& ranks, std::size_t bucket_elements) {
    order_.clear();
    std::vector<bool> left = selection.mask();
    const auto take_in = [&](ParameterId id) {
      if (left[static_cast<std::size_t>(id)]) order_.push_back(id);
      left[static_cast<std::size_t>(id)] = false;
    };
    for (const ParameterId id : order) take_in(id);
    for (ParameterId id = 0; id < static_cast<ParameterId>(left.size()); ++id) take_in(id);
    complete_.assign(left.size(), false);
    next_ = 0;
    gradients_ = &gradients;
    ranks_ = &ranks;
    bucket_elements_ = bucket_elements;
    filled_ = {};
    on_the_way_.clear();
  }

  Matrix<T> gradient(ParameterId id) override {
    ranks_->advance(Traffic::gradients);
    return gradients_->gradient(id);
  }
  void completed(ParameterId id) override {
    complete_[static_cast<std::size_t>(id)] = true;
    while (next_ < order_.size() && complete_[static_cast<std::size_t>(order_[next_])]) take(order_[next_++]);
    ranks_->advance(Traffic::gradients);
  }

  /// All other gradients are complete, too. All are summed then; all ranks have the same bits.
  void finish() {
    while (next_ < order_.size()) take(order_[next_++]);
    if (!filled_.numbers.empty()) start();
    while (!on_the_way_.empty()) finish_oldest();
  }

 private:
  /// Numbers of one gradient in a bucket.
  struct Piece {
    T* gradient = nullptr;
    std::size_t first = 0, count = 0;
  };
  struct Bucket {
    std::vector<T> numbers = {};
    std::vector<Piece> pieces = {};
  };

  void take(ParameterId id) {
    const Tensor<B>& gradient = (*gradients_)[id];
    for (Extent done = 0; done < gradient.size();) {
      done += take(gradient.data() + done, gradient.size() - done);
      if (filled_.numbers.size() == bucket_elements_) start();
    }
  }
  /// Puts as many of `count` numbers into the bucket as fit; returns how many.
  Extent take(T* gradient, Extent count) {
    auto& numbers = filled_.numbers;
    const Piece piece{gradient, numbers.size(),
                      std::min(static_cast<std::size_t>(count), bucket_elements_ - numbers.size())};
    numbers.resize(piece.first + piece.count);
    backend_->copy_to_host(numbers.data() + piece.first, gradient, bytes_of(piece));
    filled_.pieces.push_back(piece);
    return static_cast<Extent>(piece.count);
  }
  void start() {
    if (on_the_way_.size() == most_on_the_way) finish_oldest();
    ranks_->start_sum(std::move(filled_.numbers), Traffic::gradients);
    on_the_way_.push_back(std::move(filled_.pieces));
    filled_ = {};
  }
  void finish_oldest() {
    const std::vector<T> sums = ranks_->template finish_sum<T>(Traffic::gradients);
    for (const Piece& piece : on_the_way_.front())
      backend_->copy_from_host(piece.gradient, sums.data() + piece.first, bytes_of(piece));
    on_the_way_.pop_front();
  }
  static Bytes bytes_of(const Piece& piece) { return static_cast<Bytes>(piece.count * sizeof(T)); }

  B* backend_;
  GradientStore<B>* gradients_ = nullptr;
  Ranks* ranks_ = nullptr;
  std::size_t bucket_elements_ = 1;
  std::vector<ParameterId> order_;
  std::size_t next_ = 0;  ///< in order_
  std::vector<bool> complete_;
  Bucket filled_;
  std::deque<std::vector<Piece>> on_the_way_;
};

}  // namespace greentrainer
