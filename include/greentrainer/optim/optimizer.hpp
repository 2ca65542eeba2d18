#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// The weight decay of a parameter, where some are spared.
inline double decay_of(ParameterId id, double weight_decay, const Selection& undecayed) {
  return !undecayed.mask().empty() && undecayed.contains(id) ? 0 : weight_decay;
}

/// Parameters whose learning rate is a multiple of the others', as of a parameter group of torch.optim: weight decay,
/// which is a share of the rate, comes with it.
struct RateFactor {
  Selection of = {};  ///< empty: none
  double factor = 1;

  /// The rate of a parameter where the others' is `learning_rate`.
  double rate(ParameterId id, double learning_rate) const {
    return !of.mask().empty() && of.contains(id) ? factor * learning_rate : learning_rate;
  }
};

/// Throws ConfigError for a factor that is not a positive number.
inline void check_options(const RateFactor& o, std::string_view where) {
  expect_option(std::isfinite(o.factor) && o.factor > 0, where, "rate_factor", "a positive number", o.factor);
}

/// The least epsilon, which is not 0 as a float: an element whose gradients are all 0 would become NaN.
inline constexpr double least_epsilon = 1e-37;

/// Throws ConfigError for a share that a running mean keeps, unless it is one.
inline void expect_decay(std::string_view where, std::string_view field, double value) {
  expect_option(value >= 0 && value < 1, where, field, "at least 0 and less than 1", value);
}

/// Throws ConfigError for options that every optimizer has.
template <class O>
void check_common_options(std::string_view where, const O& o) {
  expect_option(std::isfinite(o.learning_rate) && o.learning_rate > 0, where, "learning_rate", "a positive number",
                o.learning_rate);
  expect_at_least(0, where, "weight_decay", o.weight_decay);
  check_options(o.rate_factor, where);
}

/// The numbers of the parameters of a selection: "0-2,7".
inline std::string numbers_of(const Selection& selection) {
  const std::vector<bool>& mask = selection.mask();
  std::string numbers;
  for (std::size_t first = 0; first < mask.size(); ++first) {
    if (!mask[first]) continue;
    std::size_t last = first;
    while (last + 1 < mask.size() && mask[last + 1]) ++last;
    numbers += (numbers.empty() ? "" : ",") + text(first) + (last > first ? text('-', last) : "");
    first = last;
  }
  return numbers;
}

/// For an optimizer's description: which parameters are spared, and which have another rate; nothing without any.
inline std::string text_of_exceptions(const Selection& undecayed, const RateFactor& rates) {
  const std::string spared = numbers_of(undecayed), scaled = rates.factor == 1 ? "" : numbers_of(rates.of);
  return (spared.empty() ? "" : ", undecayed " + spared) +
         (scaled.empty() ? "" : text(", rate factor ", exact_text(rates.factor), " for ", scaled));
}

/// Updates selected parameters on a backend. State exists for these alone: it is made (zero, with a step count of its
/// own) when a parameter is selected and freed when it no longer is, so bias correction is right whenever it comes
/// back.
template <Backend B>
class Optimizer {
 public:
  using T = typename B::Scalar;

  virtual ~Optimizer() = default;

  /// Makes and frees state. Parameters that stay selected keep theirs.
  virtual void select(const TensorGraph<B>& graph, const Selection& selection) = 0;
  /// One update of a selected parameter in place, `learning_rate` being the schedule's for this step.
  virtual void step(ParameterId id, Tensor<B>& parameter, const Tensor<B>& gradient, double learning_rate) = 0;
  /// The update that `step` would make, on the parameter alone: no state changes. For a parameter without state: what
  /// its first step would be.
  virtual void candidate(ParameterId id, Matrix<T> parameter, Matrix<const T> gradient, double learning_rate) = 0;

  /// A tensor of a parameter's state by the name that torch.optim gives it: of the parameter's shape, or of fewer
  /// elements.
  struct StateTensor {
    std::string_view name;
    Tensor<B>* tensor;
  };
  /// All that there is of a parameter's state beside `updates`; nothing without state. With what these hold, a run can
  /// be saved and continued.
  virtual std::vector<StateTensor> state_tensors(ParameterId id) = 0;
  /// Updates that a parameter's state has seen since it was made; 0 without state.
  virtual Extent updates(ParameterId id) const = 0;
  /// Requires state of the parameter.
  virtual void set_updates(ParameterId id, Extent updates) = 0;

  /// Its name and all its options, the learning rate's schedule apart: equal for two that compute the same.
  virtual std::string description() const = 0;

  /// The share of itself that a running mean of gradients keeps at each step, where updates are made of one (Adam's
  /// beta1), the mean being the first of state_tensors; nothing for other optimizers.
  virtual std::optional<double> gradient_mean_decay() const { return {}; }
  /// Of the options: the learning rate that the schedule scales.
  virtual double peak_learning_rate() const = 0;
  /// FLOPs of one update, an element; where it is not the same for all, that of a large matrix.
  virtual Flops flops_per_element() const = 0;
  /// FLOPs of one update of a parameter. Throws on 64-bit overflow; sizes come from untrusted files.
  virtual Flops update_flops(const Parameter& p) const {
    return (CheckedInteger(p.size()) * flops_per_element()).value();
  }
  /// Bytes of state an element of a selected parameter; where it is not the same for all, that of a large matrix.
  virtual Bytes state_bytes_per_element() const = 0;
  /// Bytes of state of a parameter while it is selected.
  virtual Bytes state_bytes_of(const Parameter& p) const { return p.size() * state_bytes_per_element(); }
  /// Bytes that there are of states now.
  virtual Bytes state_bytes() const = 0;
  /// Bytes that it takes beside states as soon as anything of a graph is selected, for parts of the largest parameters.
  virtual Bytes scratch_bytes(const TensorGraph<B>&) const { return 0; }
};

}  // namespace greentrainer
