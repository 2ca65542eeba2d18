#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/concepts/update_rule.hpp"
#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/update_rules.hpp"
#include "greentrainer/optim/optimizer.hpp"

namespace greentrainer {

/// Options of torch.optim.Adafactor (Shazeer, Stern 2018), with its defaults. A tensor moves by a share of its own
/// size, so that rates of 1e-3 to 1e-2 are usual.
struct AdafactorOptions {
  double learning_rate = 1e-2;
  double beta2_decay = -0.8;            ///< a running mean keeps 1 - step^beta2_decay of itself
  std::optional<double> epsilon1 = {};  ///< on estimates of squared gradients; nothing: the element type's epsilon
  double epsilon2 = 1e-3;               ///< the least size of a tensor
  double d = 1;                         ///< a tensor's updates are at most so large, as a root of the mean square
  double weight_decay = 0;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say

  std::string text_of_options() const {
    return text("adafactor (learning_rate ", exact_text(learning_rate), ", beta2_decay ", exact_text(beta2_decay),
                ", epsilon1 ", epsilon1 ? exact_text(*epsilon1) : "none", ", epsilon2 ", exact_text(epsilon2), ", d ",
                exact_text(d), ", weight_decay ", exact_text(weight_decay), ')');
  }
};

/// Throws ConfigError for an option that is no number or out of range, and for an epsilon1 whose square is 0 as a
/// float.
inline void check_options(const AdafactorOptions& o) {
  check_common_options("Adafactor", o);
  expect_option(std::isfinite(o.beta2_decay) && o.beta2_decay <= 0, "Adafactor", "beta2_decay", "a number, at most 0",
                o.beta2_decay);
  if (o.epsilon1) expect_at_least(1e-18, "Adafactor", "epsilon1", *o.epsilon1);
  expect_at_least(0, "Adafactor", "epsilon2", o.epsilon2);
  expect_option(std::isfinite(o.d) && o.d >= 1, "Adafactor", "d", "a number, at least 1", o.d);
}

namespace detail {

inline constexpr Flops adafactor_flops_per_element = 22;

/// A matrix of one row is taken as a vector.
constexpr bool is_factored(Extent rows) { return rows > 1; }
/// Rows of a matrix whose normalised gradient is formed at once.
constexpr Extent adafactor_rows(Extent rows, Extent cols) {
  constexpr Extent elements = Extent{1} << 20;
  return std::min(rows, std::max<Extent>(1, elements / std::max<Extent>(1, cols)));
}

}  // namespace detail

/// FLOPs of one update of a parameter: the sizes of weights and gradient, running means, then twice the estimate and
/// the direction, its size, and the step.
inline Flops update_flops(const AdafactorOptions&, const Parameter& p) {
  const CheckedInteger elements(p.size());
  if (!detail::is_factored(p.rows())) return (elements * 17).value();
  return (elements * detail::adafactor_flops_per_element + 5 * p.rows() + 4 * p.cols()).value();
}
/// Elements of its state.
inline Extent state_elements(const AdafactorOptions&, const Parameter& p) {
  return detail::is_factored(p.rows()) ? p.rows() + p.cols() : p.size();
}
/// Bytes of scratch for the parameters of a model.
inline Bytes scratch_bytes(const AdafactorOptions&, const std::vector<Parameter>& parameters, Bytes element_size) {
  Extent rows = 0, cols = 0, elements = 0;
  for (const Parameter& p : parameters) {
    rows = std::max(rows, p.rows());
    cols = std::max(cols, p.cols());
    elements = std::max(elements, detail::adafactor_rows(p.rows(), p.cols()) * p.cols());
  }
  return (3 * rows + 2 * cols + elements + 1) * element_size + static_cast<Bytes>(sizeof(double));
}

/// Adafactor as torch.optim.Adafactor computes it: of a matrix, the running means of squared gradients by row and by
/// column alone; of a vector, by element. Made of kernels that every backend has, beside rules.
template <Backend B>
class Adafactor final : public Optimizer<B> {
 public:
  using T = typename B::Scalar;
  using StateTensor = typename Optimizer<B>::StateTensor;

  /// Throws as check_options.
  Adafactor(B& backend, AdafactorOptions options)
      : backend_(&backend), options_(std::move(options)), scratch_(backend) {
    check_options(options_);
  }

  void select(const TensorGraph<B>& graph, const Selection& selection) override {
    states_.resize(graph.parameters().size());
    for (ParameterId id = 0; id < static_cast<ParameterId>(states_.size()); ++id) {
      if (!selection.contains(id)) state(id) = {};
    }
    bool any = false;
    for (ParameterId id = 0; id < static_cast<ParameterId>(states_.size()); ++id) {
      any = any || selection.contains(id);
      if (!selection.contains(id) || has_state(id)) continue;
      const Parameter& p = graph.parameter(id);
      if (detail::is_factored(p.rows())) {
        state(id).rows = Tensor<B>(*backend_, p.rows(), 1);
        state(id).rows.zero();
      }
      state(id).cols = Tensor<B>(*backend_, 1, p.cols());
      state(id).cols.zero();
    }
    if (!any) return;
    for (const Parameter& p : graph.parameters()) scratch_.reserve(p.rows(), p.cols());
  }
  void step(ParameterId id, Tensor<B>& parameter, const Tensor<B>& gradient, double learning_rate) override {
    State& s = state(id);
    ++s.steps;
    const Matrix<const T> g(gradient.data(), parameter.rows(), parameter.cols());
    scratch_.reserve(g.rows, g.cols);
    update(id, parameter.matrix(), g, s.rows.data(), s.cols.data(), learning_rate, s.steps);
  }
  void candidate(ParameterId id, Matrix<T> parameter, Matrix<const T> gradient, double learning_rate) override {
    scratch_.reserve(parameter.rows, parameter.cols);
    const bool known = has_state(id);
    const bool is_factored = detail::is_factored(parameter.rows);
    const auto start = [&](T* mean, const Tensor<B>& from, Extent count) {
      const Bytes bytes = count * static_cast<Bytes>(sizeof(T));
      if (known)
        backend_->copy(mean, from.data(), bytes);
      else
        backend_->zero(mean, bytes);
    };
    if (is_factored) start(scratch_.row_means.data(), state(id).rows, parameter.rows);
    start(scratch_.col_means.data(), state(id).cols, parameter.cols);
    update(id, parameter, gradient, is_factored ? scratch_.row_means.data() : nullptr, scratch_.col_means.data(),
           learning_rate, known ? state(id).steps + 1 : 1);
  }

  std::vector<StateTensor> state_tensors(ParameterId id) override {
    if (!has_state(id)) return {};
    State& s = state(id);
    if (!s.rows) return {{"variance", &s.cols}};
    return {{"row_var", &s.rows}, {"col_var", &s.cols}};
  }
  Extent updates(ParameterId id) const override {
    return has_state(id) ? states_[static_cast<std::size_t>(id)].steps : 0;
  }
  void set_updates(ParameterId id, Extent updates) override { state(id).steps = updates; }

  std::string description() const override {
    std::string all = options_.text_of_options();
    all.insert(all.size() - 1, text_of_exceptions(options_.undecayed, options_.rate_factor));
    return all;
  }
  double peak_learning_rate() const override { return options_.learning_rate; }
  Flops flops_per_element() const override { return detail::adafactor_flops_per_element; }
  Flops update_flops(const Parameter& p) const override { return greentrainer::update_flops(options_, p); }
  Bytes state_bytes_per_element() const override { return 0; }
  Bytes state_bytes_of(const Parameter& p) const override {
    return greentrainer::state_elements(options_, p) * static_cast<Bytes>(sizeof(T));
  }
  Bytes state_bytes() const override {
    Bytes total = 0;
    for (const State& s : states_) total += s.rows.bytes() + s.cols.bytes();
    return total;
  }
  Bytes scratch_bytes(const TensorGraph<B>& graph) const override {
    return greentrainer::scratch_bytes(options_, graph.parameters(), static_cast<Bytes>(sizeof(T)));
  }

 private:
  struct State {
    Tensor<B> rows;  ///< (rows, 1), of a matrix alone
    Tensor<B> cols;  ///< (1, cols), or of a vector each element's
    Extent steps = 0;
  };
  /// Grows to the largest parameter, and stays.
  struct Scratch {
    B* backend;
    Tensor<B> direction = {};                               ///< of some rows
    Tensor<B> ones = {}, row_squares = {}, row_means = {};  ///< (rows)
    Tensor<B> col_squares = {}, col_means = {};             ///< (cols)
    Tensor<B> mean = {};                                    ///< one number
    Tensor<B, double> squares = {};                         ///< the same

    explicit Scratch(B& of) : backend(&of) {}

    void reserve(Extent rows, Extent cols) {
      const auto grow = [&](Tensor<B>& tensor, Extent elements) {
        if (tensor.size() >= elements) return false;
        tensor = {};
        tensor = Tensor<B>(*backend, 1, elements);
        return true;
      };
      grow(direction, detail::adafactor_rows(rows, cols) * cols);
      if (grow(ones, rows)) ones.upload(std::vector<T>(static_cast<std::size_t>(rows), T(1)));
      grow(row_squares, rows);
      grow(row_means, rows);
      grow(col_squares, cols);
      grow(col_means, cols);
      grow(mean, 1);
      if (!squares) squares = Tensor<B, double>(*backend, 1, 1);
    }
  };

  bool has_state(ParameterId id) const {
    return static_cast<std::size_t>(id) < states_.size() && states_[static_cast<std::size_t>(id)].cols;
  }
  State& state(ParameterId id) {
    if (static_cast<std::size_t>(id) >= states_.size()) states_.resize(static_cast<std::size_t>(id) + 1);
    return states_[static_cast<std::size_t>(id)];
  }

  /// Sum of the squares of a dense matrix, or of what `add` adds up.
  template <class Add>
  double sum(const Add& add) {
    scratch_.squares.zero();
    add(scratch_.squares.data());
    return scratch_.squares.download().front();
  }

  /// One update of a dense parameter and of its running means; `row_means` null: of a vector.
  void update(ParameterId id, Matrix<T> p, Matrix<const T> g, T* row_means, T* col_means, double learning_rate,
              Extent steps) {
    const double rate = options_.rate_factor.rate(id, learning_rate), step = static_cast<double>(steps),
                 elements = static_cast<double>(p.size()), share = std::pow(step, options_.beta2_decay),
                 epsilon = options_.epsilon1.value_or(static_cast<double>(std::numeric_limits<T>::epsilon()));
    const double size =
        std::sqrt(sum([&](double* result) { backend_->sum_of_squares(p.size(), p.data, result); }) / elements);
    const double moved = std::max(options_.epsilon2, size) * std::min(rate, 1 / std::sqrt(step));
    const double mean = add_squares(g, row_means, col_means, share);
    const NormalisedRule<T> normalised(row_means == nullptr ? 1 : 1 / std::max(mean, epsilon), epsilon * epsilon);

    const auto for_rows = [&](const auto& use) {
      const Extent at_once = detail::adafactor_rows(p.rows, p.cols);
      for (Extent first = 0; first < p.rows; first += at_once) {
        const Extent count = std::min(at_once, p.rows - first);
        put_estimate(first, {scratch_.direction.data(), count, p.cols}, row_means, col_means);
        use(count * p.cols, p.data + first * p.cols, g.data + first * p.cols);
      }
    };
    const double squares = sum([&](double* result) {
      for_rows([&](Extent n, T*, const T* gradient) {
        update_step(*backend_, n, normalised, scratch_.direction.data(), gradient);
        backend_->sum_of_squares(n, scratch_.direction.data(), result);
      });
    });
    const double too_large = std::max(1.0, std::sqrt(squares / elements) / options_.d);
    const double decay = 1 - rate * decay_of(id, options_.weight_decay, options_.undecayed);
    const NormalisedStepRule<T> rule(normalised, decay, moved / too_large);
    for_rows([&](Extent n, T* parameter, const T* gradient) {
      update_candidate(*backend_, n, rule, parameter, gradient, static_cast<const T*>(scratch_.direction.data()));
    });
  }

  /// Takes a gradient into the running means of squares; returns the mean of those of rows.
  double add_squares(Matrix<const T> g, T* row_means, T* col_means, double share) {
    if (row_means == nullptr) {
      update_step(*backend_, g.cols, RunningSquareRule<T>(share), col_means, g.data);
      return 0;
    }
    backend_->dot_rows(g, g, {scratch_.row_squares.data(), g.rows, 1});
    update_step(*backend_, g.rows, RunningMeanRule<T>(1 / static_cast<double>(g.cols), share), row_means,
                static_cast<const T*>(scratch_.row_squares.data()));
    // With statistics of 1, the gradient of a norm's weight is the sums over columns of products.
    backend_->zero(scratch_.col_squares.data(), g.cols * static_cast<Bytes>(sizeof(T)));
    backend_->rms_norm_grad_weight(g, g, {scratch_.ones.data(), g.rows, 1}, scratch_.col_squares.data());
    update_step(*backend_, g.cols, RunningMeanRule<T>(1 / static_cast<double>(g.rows), share), col_means,
                static_cast<const T*>(scratch_.col_squares.data()));
    scratch_.mean.zero();
    backend_->bias_grad({row_means, g.rows, 1}, scratch_.mean.data());
    return static_cast<double>(scratch_.mean.download().front()) / static_cast<double>(g.rows);
  }

  /// y = the products of the running means of its rows, from the first one on, and of all columns.
  void put_estimate(Extent first, Matrix<T> y, const T* row_means, const T* col_means) {
    if (row_means == nullptr) {
      backend_->copy(y.data, col_means, y.cols * static_cast<Bytes>(sizeof(T)));
      return;
    }
    backend_->zero(y.data, y.size() * static_cast<Bytes>(sizeof(T)));
    backend_->add_bias(y, col_means);
    backend_->scale_rows(y, {row_means + first, y.rows, 1}, y);
  }

  B* backend_;
  AdafactorOptions options_;
  Scratch scratch_;
  std::vector<State> states_;
};

template <Backend B>
std::unique_ptr<Optimizer<B>> make_optimizer(B& backend, const AdafactorOptions& options) {
  return std::make_unique<Adafactor<B>>(backend, options);
}

}  // namespace greentrainer
