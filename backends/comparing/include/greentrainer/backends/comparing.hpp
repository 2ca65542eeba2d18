#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/backends/counting/kernel_forwarder.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// The largest differences between what two backends made of the same kernel and the same operands.
struct KernelDifference {
  Extent calls = 0;
  double absolute = 0;  ///< largest |other - reference|
  double relative = 0;  ///< largest |other - reference| / (|reference| + the typical size of its neighbours)
  double excess = 0;    ///< largest relative difference as a multiple of what rounding may do; more than 1 is a fault
  std::string where;    ///< of the largest excess: operand, row, column and call, and both values
};

/// Runs every kernel on two backends, on the same operands, and compares all that it writes. What the first one, the
/// reference, makes of them is what the program goes on with, so a difference never hides behind those before it. Slow:
/// every output goes through the host.
template <Backend A, Backend B>
requires std::is_same_v<typename A::Scalar, typename B::Scalar>
class ComparingBackend : public KernelForwarder<ComparingBackend<A, B>, typename A::Scalar> {
 public:
  static constexpr bool reads_stored_weights = false;
  using Scalar = typename A::Scalar;

  /// Both must outlive it. `product_epsilon`: of one, the rounding of the factors of a product on `other`, if it is
  /// coarser than the element type's.
  ComparingBackend(A& reference, B& other, double product_epsilon = 0)
      : reference_(reference), other_(other), product_epsilon_(std::max(product_epsilon, epsilon)) {}

  std::string name() const { return reference_.name() + " against " + other_.name(); }
  /// Kernels called so far, by name.
  const std::map<std::string, KernelDifference, std::less<>>& by_kernel() const { return by_kernel_; }
  /// Whether all differences are what rounding may do.
  bool agrees() const {
    return std::all_of(by_kernel_.begin(), by_kernel_.end(),
                       [](const auto& kernel) { return kernel.second.excess <= 1; });
  }

  void* allocate(Bytes bytes) {
    void* const memory = reference_.allocate(bytes);
    try {
      memory_[address(memory)] = {bytes, static_cast<char*>(other_.allocate(bytes))};
    } catch (...) {
      reference_.deallocate(memory, bytes);
      throw;
    }
    return memory;
  }
  void deallocate(void* memory, Bytes bytes) noexcept {
    if (memory == nullptr) return;
    const auto found = memory_.find(address(memory));
    if (found != memory_.end()) {
      other_.deallocate(found->second.other, bytes);
      memory_.erase(found);
    }
    reference_.deallocate(memory, bytes);
  }
  void copy_from_host(void* to, const void* from, Bytes bytes) {
    if (bytes == 0) return;
    reference_.copy_from_host(to, from, bytes);
    other_.copy_from_host(there(to), from, bytes);
  }
  void copy_to_host(void* to, const void* from, Bytes bytes) { reference_.copy_to_host(to, from, bytes); }
  void copy(void* to, const void* from, Bytes bytes) {
    if (bytes == 0) return;
    reference_.copy(to, from, bytes);
    other_.copy(there(to), there(from), bytes);
  }
  void zero(void* to, Bytes bytes) {
    if (bytes == 0) return;
    reference_.zero(to, bytes);
    other_.zero(there(to), bytes);
  }
  void synchronize() {
    reference_.synchronize();
    other_.synchronize();
  }

 private:
  friend class KernelForwarder<ComparingBackend<A, B>, Scalar>;
  using T = Scalar;
  static constexpr double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());

  struct Block {
    Bytes bytes = 0;
    char* other = nullptr;
  };

  template <class Call, class... Arguments>
  void around(std::string_view kernel, Flops, Call call, const Arguments&... arguments) {
    const Measure measure = measure_of(kernel, arguments...);
    call(reference_, arguments...);
    call(other_, there(arguments)...);
    KernelDifference& difference = by_kernel_.try_emplace(std::string(kernel)).first->second;
    ++difference.calls;
    std::size_t operand = 0;
    (..., (++operand, compare(difference, operand, arguments, measure, vector_length(kernel, operand, arguments...))));
  }
  /// Counts nothing, so it need not know.
  static Extent visible_pairs(const AttentionShape&) { return 0; }

  // --- The other backend's memory lies as the reference's does ---

  static std::uintptr_t address(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

  template <class U>
  U* there(U* pointer) const {
    if (pointer == nullptr) return nullptr;
    const auto behind = memory_.upper_bound(address(pointer));
    const auto block = behind == memory_.begin() ? memory_.end() : std::prev(behind);
    if (block == memory_.end() || address(pointer) > block->first + static_cast<std::uintptr_t>(block->second.bytes)) {
      throw BackendError("ComparingBackend", "address",
                         "expected memory of this backend, got other; copy it over first");
    }
    return reinterpret_cast<U*>(block->second.other + (address(pointer) - block->first));
  }
  template <class U>
  Matrix<U> there(const Matrix<U>& m) const {
    return {there(m.data), m.rows, m.cols, m.stride};
  }
  AttentionShape there(AttentionShape shape) const {
    for (SequenceView* view : {&shape.queries, &shape.keys}) {
      view->begins = there(view->begins);
      view->ends = there(view->ends);
    }
    shape.positions = there(shape.positions);
    return shape;
  }
  template <class Value>
  requires(!std::is_pointer_v<Value>) const Value& there(const Value& value) const { return value; }

  // --- What rounding may do ---

  /// How large a kernel's numbers are before they cancel, and how large their differences may be.
  struct Measure {
    double typical = 0;    ///< at least; that of the output itself counts, too
    double tolerance = 0;  ///< relative to typical and expected size
  };

  template <class... Arguments>
  Measure measure_of(std::string_view kernel, const Arguments&... arguments) {
    const auto all = std::tie(arguments...);
    const auto tolerance = [](Extent depth, double eps) {
      return (16 + 4 * std::sqrt(static_cast<double>(depth))) * eps;
    };
    if constexpr (sizeof...(Arguments) > 3 &&
                  std::is_same_v<std::decay_t<std::tuple_element_t<1, decltype(all)>>, Transpose>) {
      const auto& [x, tx, z, tz, y, write] = all;
      const Extent depth = tx == Transpose::yes ? x.rows : x.cols;
      return {std::sqrt(static_cast<double>(depth)) * root_mean_square(x) * root_mean_square(z),
              tolerance(depth, product_epsilon_)};
    }
    for (const std::string_view name : element_wise) {
      if (kernel.starts_with(name)) return {0, tolerance(1, epsilon)};
    }
    Measure measure{0, tolerance(std::max({largest_extent(arguments)...}), epsilon)};
    if (kernel == "update_dot") measure.typical = update_size(arguments...);
    if (kernel == "bias_grad" || kernel.ends_with("_grad_weight")) measure.typical = column_sum_size(arguments...);
    if (kernel == "attention_grad") measure.typical = attention_grad_size(arguments...);
    if (kernel == "attention_sink_grad") measure.typical = sink_grad_size(arguments...);
    if (kernel == "cross_entropy_grad") measure.typical = one_hot_size(arguments...);
    return measure;
  }

  static constexpr std::array<std::string_view, 15> element_wise = {
      "add_bias",    "embedding_forward", "gather_rows", "scatter_rows", "rotary",      "activation",
      "gated",       "clamped_gate",      "add",         "accumulate",   "copy_matrix", "dropout",
      "update_step", "update_candidate",  "scale"};

  template <class Argument>
  static Extent largest_extent(const Argument& argument) {
    if constexpr (requires { argument.stride; }) return std::max(argument.rows, argument.cols);
    if constexpr (std::is_same_v<Argument, Extent>) return argument;
    return 1;
  }
  /// Of sum(gradient * (updated - before)): the square root of n typical terms.
  double update_size(Extent n, const T* gradient, const T* updated, const T* before, double*) {
    const auto g = download(reference_, Matrix<const T>(gradient, 1, n)),
               u = download(reference_, Matrix<const T>(updated, 1, n)),
               b = download(reference_, Matrix<const T>(before, 1, n));
    double gradients = 0, moves = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
      gradients += g[i] * g[i];
      moves += (u[i] - b[i]) * (u[i] - b[i]);
    }
    return n == 0 ? 0 : std::sqrt(gradients * moves / static_cast<double>(n));
  }
  template <class... Rest>
  double update_size(const Rest&...) {
    return 0;
  }
  template <class... Rest>
  double column_sum_size(const Matrix<const T>& rows, const Rest&...) {
    return std::sqrt(static_cast<double>(rows.rows)) * root_mean_square(rows);
  }
  template <class... Rest>
  double column_sum_size(const Rest&...) {
    return 0;
  }
  /// Of the gradients of queries and keys, before a score's own gradient and the row's mean one cancel.
  template <class... Rest>
  double attention_grad_size(const AttentionShape& shape, const Matrix<const T>& queries, const Matrix<const T>& keys,
                             const Matrix<const T>& values, const Matrix<const T>&, const Matrix<const T>&,
                             const Matrix<const T>&, const Matrix<const T>& grad_output, const Rest&...) {
    const double grad_score =
        std::sqrt(static_cast<double>(shape.head_dim)) * root_mean_square(grad_output) * root_mean_square(values);
    return shape.scale * grad_score * std::max(root_mean_square(queries), root_mean_square(keys));
  }
  template <class... Rest>
  double attention_grad_size(const Rest&...) {
    return 0;
  }
  /// Of a sum over rows of products over a head's columns.
  template <class... Rest>
  double sink_grad_size(const Matrix<const T>&, const Matrix<const T>& output, const Matrix<const T>& stats,
                        const Matrix<const T>& grad_output, const Rest&...) {
    const double terms = stats.cols == 0 ? 0 : static_cast<double>(output.size() / stats.cols);
    return std::sqrt(terms) * root_mean_square(output) * root_mean_square(grad_output);
  }
  template <class... Rest>
  double sink_grad_size(const Rest&...) {
    return 0;
  }
  /// Of the scaled one-hot labels, from which a probability close to 1 is taken.
  template <class... Rest>
  static double one_hot_size(const Matrix<T>& logits, const Index*, double scale, const Rest&...) {
    return logits.cols == 0 ? 0 : std::abs(scale) / std::sqrt(static_cast<double>(logits.cols));
  }
  template <class... Rest>
  static double one_hot_size(const Rest&...) {
    return 0;
  }
  double root_mean_square(const Matrix<const T>& m) {
    const std::vector<double> values = download(reference_, m);
    double squares = 0;
    for (double v : values) squares += v * v;
    return values.empty() ? 0 : std::sqrt(squares / static_cast<double>(values.size()));
  }

  // --- Comparing ---

  /// Length of a vector that a kernel writes beside its matrices.
  template <class First, class... Rest>
  static Extent vector_length(std::string_view kernel, std::size_t operand, const First& first, const Rest&... rest) {
    if (kernel == "sum_of_squares" || kernel == "count_non_finite" || kernel == "update_dot") return 1;
    if constexpr (std::is_same_v<First, Extent>) return first;
    if constexpr (requires { first.stride; })
      return kernel != "cross_entropy_forward" ? first.cols : operand == 3 ? first.rows : 1;
    if constexpr (sizeof...(Rest) > 0) return vector_length(kernel, operand, rest...);
    return 0;
  }

  template <class Argument>
  void compare(KernelDifference& difference, std::size_t operand, const Argument& argument, const Measure& measure,
               Extent length) {
    if constexpr (std::is_same_v<Argument, Matrix<T>>) {
      compare_written(difference, operand, argument, measure);
    } else if constexpr (std::is_same_v<Argument, T*> || std::is_same_v<Argument, double*>) {
      compare_written(difference, operand, Matrix<std::remove_pointer_t<Argument>>(argument, 1, length), measure);
    }
  }

  template <class U>
  void compare_written(KernelDifference& difference, std::size_t operand, Matrix<U> written, const Measure& measure) {
    if (!written || written.size() == 0) return;
    const std::vector<double> expected = download(reference_, Matrix<const U>(written)),
                              actual = download(other_, Matrix<const U>(there(written)));
    double squares = 0;
    for (double e : expected) squares += std::isfinite(e) ? e * e : 0;
    const double typical = std::max(measure.typical, std::sqrt(squares / static_cast<double>(expected.size())));
    constexpr double infinity = std::numeric_limits<double>::infinity();
    bool differs = false;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i]))) continue;
      differs = true;
      const double distance = std::abs(actual[i] - expected[i]),
                   absolute = std::isfinite(distance) ? distance : infinity;
      const double relative = absolute / (typical + (std::isfinite(expected[i]) ? std::abs(expected[i]) : 0));
      difference.absolute = std::max(difference.absolute, absolute);
      difference.relative = std::max(difference.relative, relative);
      if (relative / measure.tolerance <= difference.excess) continue;
      difference.excess = relative / measure.tolerance;
      const auto n = static_cast<std::size_t>(written.cols);
      difference.where = text("call ", difference.calls, ", argument ", operand, ", row ", i / n, ", column ", i % n,
                              ": ", expected[i], " against ", actual[i]);
    }
    if (differs) adopt(written);
  }

  /// Calls visit(data, count) for the matrix: at once if its rows have no gaps between them, else row by row.
  template <class U, class Visit>
  static void for_pieces(const Matrix<U>& m, Visit visit) {
    if (m.stride == m.cols) return visit(m.data, m.size());
    for (Extent r = 0; r < m.rows; ++r) visit(m.data + r * m.stride, m.cols);
  }
  /// The other backend goes on with what the reference has.
  template <class U>
  void adopt(const Matrix<U>& written) {
    for_pieces(written, [&](U* place, Extent count) {
      std::vector<U> values(static_cast<std::size_t>(count));
      reference_.copy_to_host(values.data(), place, count * static_cast<Bytes>(sizeof(U)));
      other_.copy_from_host(there(place), values.data(), count * static_cast<Bytes>(sizeof(U)));
    });
  }
  template <class Memory, class U>
  static std::vector<double> download(Memory& backend, const Matrix<const U>& m) {
    std::vector<double> all;
    if (!m || m.size() == 0) return all;
    for_pieces(m, [&](const U* place, Extent count) {
      std::vector<U> values(static_cast<std::size_t>(count));
      backend.copy_to_host(values.data(), place, count * static_cast<Bytes>(sizeof(U)));
      all.insert(all.end(), values.begin(), values.end());
    });
    return all;
  }

  A& reference_;
  B& other_;
  double product_epsilon_;
  std::map<std::uintptr_t, Block> memory_;  ///< by the reference's address
  std::map<std::string, KernelDifference, std::less<>> by_kernel_;
};

}  // namespace greentrainer
