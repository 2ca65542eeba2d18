#pragma once

#include <utility>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/optim/optimizer.hpp"

namespace greentrainer {

/// FLOPs of one update, an element.
inline constexpr Flops adamw_flops_per_element = 14;

/// Options of torch.optim.AdamW, with its defaults.
struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say
};

/// Throws ConfigError for an option that is no number or outside of torch.optim.AdamW's range, and for an epsilon that
/// is 0 as a float: an element whose gradients are all 0 would become NaN.
inline void check_options(const AdamWOptions& o) {
  constexpr double least_epsilon = 1e-37;
  expect_option(std::isfinite(o.learning_rate) && o.learning_rate > 0, "AdamW", "learning_rate", "a positive number",
                o.learning_rate);
  expect_option(o.beta1 >= 0 && o.beta1 < 1, "AdamW", "beta1", "at least 0 and less than 1", o.beta1);
  expect_option(o.beta2 >= 0 && o.beta2 < 1, "AdamW", "beta2", "at least 0 and less than 1", o.beta2);
  expect_at_least(least_epsilon, "AdamW", "epsilon", o.epsilon);
  expect_at_least(0, "AdamW", "weight_decay", o.weight_decay);
  check_options(o.rate_factor, "AdamW");
}

/// AdamW as torch.optim.AdamW computes it (Loshchilov, Hutter: decoupled weight decay).
template <Backend B>
class AdamW final : public Optimizer<B> {
 public:
  using T = typename B::Scalar;

  /// Throws as check_options.
  AdamW(B& backend, AdamWOptions options) : backend_(&backend), options_(std::move(options)) {
    check_options(options_);
  }

  void select(const TensorGraph<B>& graph, const Selection& selection) override {
    states_.resize(graph.parameters().size());
    for (ParameterId id = 0; id < static_cast<ParameterId>(states_.size()); ++id) {
      if (!selection.contains(id)) state(id) = {};
    }
    for (ParameterId id = 0; id < static_cast<ParameterId>(states_.size()); ++id) {
      State& s = state(id);
      if (!selection.contains(id) || s.first) continue;
      const Parameter& p = graph.parameter(id);
      s = {Tensor<B>(*backend_, p.rows(), p.cols()), Tensor<B>(*backend_, p.rows(), p.cols()), 0};
      s.first.zero();
      s.second.zero();
    }
  }
  void step(ParameterId id, Tensor<B>& parameter, const Tensor<B>& gradient, double learning_rate) override {
    State& s = state(id);
    ++s.steps;
    backend_->adamw_step(parameter.size(), parameter.data(), gradient.data(), s.first.data(), s.second.data(),
                         scalars(id, learning_rate, s.steps));
  }
  void candidate(ParameterId id, Matrix<T> parameter, Matrix<const T> gradient, double learning_rate) override {
    const bool known = has_state(id);
    const T* first = known ? state(id).first.data() : nullptr;
    const T* second = known ? state(id).second.data() : nullptr;
    backend_->adamw_candidate(parameter.size(), parameter.data, gradient.data, first, second,
                              scalars(id, learning_rate, known ? state(id).steps + 1 : 1));
  }

  std::vector<typename Optimizer<B>::StateTensor> state_tensors(ParameterId id) override {
    if (!has_state(id)) return {};
    return {{"exp_avg", &state(id).first}, {"exp_avg_sq", &state(id).second}};
  }
  Extent updates(ParameterId id) const override { return has_state(id) ? state_of(id).steps : 0; }
  void set_updates(ParameterId id, Extent updates) override { state(id).steps = updates; }

  std::string description() const override {
    return text("adamw (learning_rate ", exact_text(options_.learning_rate), ", beta1 ", exact_text(options_.beta1),
                ", beta2 ", exact_text(options_.beta2), ", epsilon ", exact_text(options_.epsilon), ", weight_decay ",
                exact_text(options_.weight_decay), text_of_exceptions(options_.undecayed, options_.rate_factor), ')');
  }
  std::optional<double> gradient_mean_decay() const override { return options_.beta1; }
  double peak_learning_rate() const override { return options_.learning_rate; }
  Flops flops_per_element() const override { return adamw_flops_per_element; }
  Bytes state_bytes_per_element() const override { return 2 * static_cast<Bytes>(sizeof(T)); }
  Bytes state_bytes() const override {
    Bytes total = 0;
    for (const State& s : states_) total += s.first.bytes() + s.second.bytes();
    return total;
  }

  /// Moments and steps of a parameter; empty tensors without state. For tests and checkpoints.
  struct State {
    Tensor<B> first;
    Tensor<B> second;
    Extent steps = 0;
  };
  const State& state_of(ParameterId id) const { return states_[static_cast<std::size_t>(id)]; }

 private:
  bool has_state(ParameterId id) const { return static_cast<std::size_t>(id) < states_.size() && state_of(id).first; }
  State& state(ParameterId id) { return states_[static_cast<std::size_t>(id)]; }
  AdamWStep scalars(ParameterId id, double learning_rate, Extent steps) const {
    return {.learning_rate = options_.rate_factor.rate(id, learning_rate),
            .beta1 = options_.beta1,
            .beta2 = options_.beta2,
            .epsilon = options_.epsilon,
            .weight_decay = decay_of(id, options_.weight_decay, options_.undecayed),
            .step = steps};
  }

  B* backend_;
  AdamWOptions options_;
  std::vector<State> states_;
};

template <Backend B>
std::unique_ptr<Optimizer<B>> make_optimizer(B& backend, const AdamWOptions& options) {
  return std::make_unique<AdamW<B>>(backend, options);
}

}  // namespace greentrainer
