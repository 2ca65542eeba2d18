#pragma once

#include <utility>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/optim/optimizer.hpp"

namespace greentrainer {

/// Options of torch.optim.SGD, with its defaults.
struct SgdOptions {
  double learning_rate = 1e-3;
  double momentum = 0;
  double weight_decay = 0;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say
};

/// Throws ConfigError for an option that is no number or out of range.
inline void check_options(const SgdOptions& o) {
  expect_option(std::isfinite(o.learning_rate) && o.learning_rate > 0, "Sgd", "learning_rate", "a positive number",
                o.learning_rate);
  expect_option(o.momentum >= 0 && o.momentum <= 1, "Sgd", "momentum", "0 to 1", o.momentum);
  expect_at_least(0, "Sgd", "weight_decay", o.weight_decay);
  check_options(o.rate_factor, "Sgd");
}

/// Stochastic gradient descent as torch.optim.SGD computes it, without dampening or Nesterov momentum.
template <Backend B>
class Sgd final : public Optimizer<B> {
 public:
  using T = typename B::Scalar;

  /// Throws as check_options.
  Sgd(B& backend, SgdOptions options) : backend_(&backend), options_(std::move(options)) { check_options(options_); }

  void select(const TensorGraph<B>& graph, const Selection& selection) override {
    if (options_.momentum == 0) return;
    velocities_.resize(graph.parameters().size());
    updates_.resize(graph.parameters().size(), 0);
    for (ParameterId id = 0; id < static_cast<ParameterId>(velocities_.size()); ++id) {
      const auto i = static_cast<std::size_t>(id);
      if (!selection.contains(id)) {
        velocities_[i] = {};
        updates_[i] = 0;
      } else if (!velocities_[i]) {
        velocities_[i] = Tensor<B>(*backend_, graph.parameter(id).rows(), graph.parameter(id).cols());
        velocities_[i].zero();
      }
    }
  }
  void step(ParameterId id, Tensor<B>& parameter, const Tensor<B>& gradient, double learning_rate) override {
    const auto i = static_cast<std::size_t>(id);
    T* velocity = options_.momentum == 0 ? nullptr : velocities_[i].data();
    backend_->sgd_step(parameter.size(), parameter.data(), gradient.data(), velocity,
                       scalars(id, learning_rate, velocity == nullptr || updates_[i] == 0));
    if (velocity != nullptr) ++updates_[i];
  }
  void candidate(ParameterId id, Matrix<T> parameter, Matrix<const T> gradient, double learning_rate) override {
    const auto i = static_cast<std::size_t>(id);
    const bool known = i < velocities_.size() && velocities_[i] && updates_[i] > 0;
    backend_->sgd_candidate(parameter.size(), parameter.data, gradient.data, known ? velocities_[i].data() : nullptr,
                            scalars(id, learning_rate, !known));
  }

  std::vector<typename Optimizer<B>::StateTensor> state_tensors(ParameterId id) override {
    const auto i = static_cast<std::size_t>(id);
    if (i >= velocities_.size() || !velocities_[i]) return {};
    return {{"momentum_buffer", &velocities_[i]}};
  }
  Extent updates(ParameterId id) const override {
    const auto i = static_cast<std::size_t>(id);
    return i < updates_.size() ? updates_[i] : 0;
  }
  void set_updates(ParameterId id, Extent updates) override { updates_[static_cast<std::size_t>(id)] = updates; }

  std::string description() const override {
    return text("sgd (learning_rate ", exact_text(options_.learning_rate), ", momentum ", exact_text(options_.momentum),
                ", weight_decay ", exact_text(options_.weight_decay),
                text_of_exceptions(options_.undecayed, options_.rate_factor), ')');
  }
  double peak_learning_rate() const override { return options_.learning_rate; }
  Flops flops_per_element() const override { return options_.momentum == 0 ? 4 : 6; }
  Bytes state_bytes_per_element() const override { return options_.momentum == 0 ? 0 : static_cast<Bytes>(sizeof(T)); }
  Bytes state_bytes() const override {
    Bytes total = 0;
    for (const auto& v : velocities_) total += v.bytes();
    return total;
  }

 private:
  SgdStep scalars(ParameterId id, double learning_rate, bool first) const {
    return {.learning_rate = options_.rate_factor.rate(id, learning_rate),
            .momentum = options_.momentum,
            .weight_decay = decay_of(id, options_.weight_decay, options_.undecayed),
            .first = first};
  }

  B* backend_;
  SgdOptions options_;
  std::vector<Tensor<B>> velocities_;
  std::vector<Extent> updates_;  ///< that a velocity has seen
};

template <Backend B>
std::unique_ptr<Optimizer<B>> make_optimizer(B& backend, const SgdOptions& options) {
  return std::make_unique<Sgd<B>>(backend, options);
}

}  // namespace greentrainer
