#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/concepts/update_rule.hpp"
#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/core/update_rules.hpp"
#include "greentrainer/optim/optimizer.hpp"

namespace greentrainer {

/// Options of an optimizer that updates every element by itself. All that such an optimizer is:
/// - learning_rate, weight_decay, undecayed, rate_factor: as SgdOptions has them;
/// - with_rule<T>(scalars, use): calls use(rule) with the rule (concepts/update_rule.hpp) of one update. Which rule it
///   is may depend on the options, not on the scalars;
/// - text_of_options(): its name and all options but the last two;
/// - check_options(options), found by its argument: throws ConfigError for an option that is out of range.
template <class O>
concept ElementWiseOptions = requires(const O& options, const UpdateScalars& scalars) {
  { options.learning_rate } -> std::convertible_to<double>;
  { options.weight_decay } -> std::convertible_to<double>;
  { options.undecayed } -> std::convertible_to<Selection>;
  { options.rate_factor } -> std::convertible_to<RateFactor>;
  { options.text_of_options() } -> std::convertible_to<std::string>;
  options.template with_rule<double>(scalars, [](const auto&) {});
  check_options(options);
};

/// FLOPs of one update, an element.
template <ElementWiseOptions O>
Flops update_flops_per_element(const O& options) {
  Flops flops = 0;
  options.template with_rule<double>({}, [&](const auto& rule) { flops = std::decay_t<decltype(rule)>::flops; });
  return flops;
}
/// Numbers that are kept for each element.
template <ElementWiseOptions O>
Extent state_per_element(const O& options) {
  Extent count = 0;
  options.template with_rule<double>(
      {}, [&](const auto& rule) { count = static_cast<Extent>(std::decay_t<decltype(rule)>::state.size()); });
  return count;
}

/// FLOPs of one update of a parameter, elements of its state, and bytes of scratch for those of a model.
template <ElementWiseOptions O>
Flops update_flops(const O& options, const Parameter& p) {
  return (CheckedInteger(p.size()) * update_flops_per_element(options)).value();
}
template <ElementWiseOptions O>
Extent state_elements(const O& options, const Parameter& p) {
  return p.size() * state_per_element(options);
}
template <ElementWiseOptions O>
Bytes scratch_bytes(const O&, const std::vector<Parameter>&, Bytes) {
  return 0;
}

/// The optimizer of such options.
template <Backend B, ElementWiseOptions O>
class ElementWise final : public Optimizer<B> {
 public:
  using T = typename B::Scalar;

  /// Throws as check_options.
  ElementWise(B& backend, O options) : backend_(&backend), options_(std::move(options)) { check_options(options_); }

  void select(const TensorGraph<B>& graph, const Selection& selection) override {
    states_.resize(graph.parameters().size());
    for (ParameterId id = 0; id < static_cast<ParameterId>(states_.size()); ++id) {
      if (!selection.contains(id)) state(id) = {};
    }
    const Extent kept = state_per_element(options_);
    for (ParameterId id = 0; id < static_cast<ParameterId>(states_.size()); ++id) {
      if (!selection.contains(id) || has_state(id)) continue;
      const Parameter& p = graph.parameter(id);
      for (Extent k = 0; k < kept; ++k) state(id).tensors.emplace_back(*backend_, p.rows(), p.cols()).zero();
    }
  }
  void step(ParameterId id, Tensor<B>& parameter, const Tensor<B>& gradient, double learning_rate) override {
    State& s = state(id);
    ++s.steps;
    with_rule(id, learning_rate, s.steps, [&](const auto& rule, auto... k) {
      update_step(*backend_, parameter.size(), rule, parameter.data(), gradient.data(), s.tensors[k].data()...);
    });
  }
  void candidate(ParameterId id, Matrix<T> parameter, Matrix<const T> gradient, double learning_rate) override {
    const bool known = has_state(id);
    with_rule(id, learning_rate, known ? state(id).steps + 1 : 1, [&](const auto& rule, auto... k) {
      update_candidate(*backend_, parameter.size(), rule, parameter.data, gradient.data,
                       known ? state(id).tensors[k].data() : static_cast<const T*>(nullptr)...);
    });
  }

  std::vector<typename Optimizer<B>::StateTensor> state_tensors(ParameterId id) override {
    std::vector<typename Optimizer<B>::StateTensor> all;
    if (!has_state(id)) return all;
    with_rule(id, 0, 1, [&](const auto& rule, auto... k) {
      (all.push_back({std::decay_t<decltype(rule)>::state[k], &state(id).tensors[k]}), ...);
    });
    return all;
  }
  Extent updates(ParameterId id) const override {
    return has_state(id) ? states_[static_cast<std::size_t>(id)].steps : 0;
  }
  void set_updates(ParameterId id, Extent updates) override { state(id).steps = updates; }

  std::string description() const override {
    std::string all = options_.text_of_options();
    all.insert(all.ends_with(')') ? all.size() - 1 : all.size(),
               text_of_exceptions(options_.undecayed, options_.rate_factor));
    return all;
  }
  std::optional<double> gradient_mean_decay() const override {
    if constexpr (requires { options_.gradient_mean_decay(); }) return options_.gradient_mean_decay();
    return {};
  }
  double peak_learning_rate() const override { return options_.learning_rate; }
  Flops flops_per_element() const override { return update_flops_per_element(options_); }
  Bytes state_bytes_per_element() const override { return state_per_element(options_) * static_cast<Bytes>(sizeof(T)); }
  Bytes state_bytes() const override {
    Bytes total = 0;
    for (const State& s : states_) {
      for (const Tensor<B>& tensor : s.tensors) total += tensor.bytes();
    }
    return total;
  }

 private:
  struct State {
    std::vector<Tensor<B>> tensors;
    Extent steps = 0;
  };

  bool has_state(ParameterId id) const {
    const auto i = static_cast<std::size_t>(id);
    return i < states_.size() && !states_[i].tensors.empty();
  }
  State& state(ParameterId id) {
    if (static_cast<std::size_t>(id) >= states_.size()) states_.resize(static_cast<std::size_t>(id) + 1);
    return states_[static_cast<std::size_t>(id)];
  }
  /// Calls use(rule, k...) with the number of each tensor of its state.
  template <class Use>
  void with_rule(ParameterId id, double learning_rate, Extent step, const Use& use) const {
    const UpdateScalars scalars{.learning_rate = options_.rate_factor.rate(id, learning_rate),
                                .weight_decay = decay_of(id, options_.weight_decay, options_.undecayed),
                                .step = step};
    options_.template with_rule<T>(scalars, [&](const auto& rule) {
      [&]<std::size_t... K>(std::index_sequence<K...>) { use(rule, K...); }
      (std::make_index_sequence<std::decay_t<decltype(rule)>::state.size()>());
    });
  }

  B* backend_;
  O options_;
  std::vector<State> states_;
};

template <Backend B, ElementWiseOptions O>
std::unique_ptr<Optimizer<B>> make_optimizer(B& backend, const O& options) {
  return std::make_unique<ElementWise<B, O>>(backend, options);
}

}  // namespace greentrainer
