#pragma once

#include <algorithm>
#include <array>
#include <greentrainer/concepts/backend.hpp>
#include <string>
#include <string_view>
#include <type_traits>

namespace greentrainer::benchmarks {

/// What one call of a kernel does: FLOPs as the Backend concept counts them, and the bytes that must move between
/// device memory and the chip, each operand read once, each result written once, and read before if it is added to.
/// Index arrays and vectors beside matrices are left out.
struct KernelWork {
  std::string label;  ///< the kernel, and of a product which layer's it is and for what
  Flops flops = 0;
  Bytes bytes = 0;
  bool product = false;        ///< a matrix product, which tensor cores can do
  Extent factor_elements = 0;  ///< of a product: elements of its two factors
};

namespace detail {

template <class T>
Bytes bytes_of(const Matrix<T>& m) {
  return m ? m.size() * static_cast<Bytes>(sizeof(T)) : 0;
}

/// Kernels that add to their result without being told to.
inline bool always_adds(std::string_view kernel) {
  constexpr std::array<std::string_view, 4> kernels = {"add_bias", "accumulate", "cross_entropy_grad", "scale"};
  return std::find(kernels.begin(), kernels.end(), kernel) != kernels.end();
}

inline bool adds(const Write& write) { return write == Write::accumulate; }
template <class Argument>
bool adds(const Argument&) {
  return false;
}

template <class... Arguments>
Bytes bytes_moved(std::string_view kernel, const Arguments&... arguments) {
  const bool adding = always_adds(kernel) || (adds(arguments) || ...);
  const auto moved = [&]<class Argument>(const Argument& argument) -> Bytes {
    if constexpr (requires { argument.stride; })
      return bytes_of(argument) * (!std::is_const_v<std::remove_pointer_t<decltype(argument.data)>> && adding ? 2 : 1);
    else
      return 0;
  };
  return (moved(arguments) + ... + Bytes{0});
}
/// Tables of rows: of them, those that are named by the index.
template <class T>
Bytes bytes_moved(std::string_view kernel, const Matrix<const T>& x, const Index* const&, const Matrix<T>& y) {
  return kernel == "embedding_grad_weight" ? 3 * bytes_of(x) : 2 * bytes_of(y);
}
template <class T>
Bytes bytes_moved(std::string_view, const Matrix<const T>& x, const Index* const&, const Matrix<T>& y,
                  const Write& write) {
  return adds(write) ? 3 * bytes_of(x) : bytes_of(x) + bytes_of(y);
}
/// Heads may lie apart in wider rows: a projection that holds queries, keys and values side by side.
template <class... Arguments>
Bytes bytes_moved(std::string_view, const AttentionShape& shape, const Arguments&... arguments) {
  const auto moved = [&]<class T>(const Matrix<T>& m) {
    return m ? m.rows * std::min(m.cols, shape.heads * shape.head_dim) * static_cast<Bytes>(sizeof(T)) : 0;
  };
  return (moved(arguments) + ...);
}
/// Kernels over n elements: constant vectors are read, others read and written.
template <class... Arguments>
Bytes bytes_moved(std::string_view, const Extent& n, const Arguments&... arguments) {
  const auto moved = [n]<class Argument>(const Argument& argument) -> Bytes {
    if constexpr (std::is_same_v<Argument, const float*>)
      return argument == nullptr ? 0 : n * static_cast<Bytes>(sizeof(float));
    else if constexpr (std::is_same_v<Argument, float*>)
      return argument == nullptr ? 0 : 2 * n * static_cast<Bytes>(sizeof(float));
    else
      return 0;
  };
  return (moved(arguments) + ... + Bytes{0});
}

/// A product is the forward pass of a linear layer, or one of its gradients, by what is transposed: y = x W^T, dx = dy
/// W, dW = dy^T x.
template <class T>
void describe(KernelWork& work, const Matrix<const T>& x, const Transpose& tx, const Matrix<const T>& z,
              const Transpose& tz, const Matrix<T>& y, const Write&) {
  work.product = true;
  work.factor_elements = x.size() + z.size();
  const bool weight = tx == Transpose::yes, forward = tz == Transpose::yes;
  const Extent in = forward ? x.cols : y.cols, out = weight ? y.rows : forward ? y.cols : x.cols;
  work.label = text("linear ", in, " -> ", out, weight ? ", grad_weight" : forward ? ", forward" : ", grad_input");
}
template <class... Arguments>
void describe(KernelWork&, const Arguments&...) {}

}  // namespace detail

/// For the `around` of a decorator (backends/counting/kernel_forwarder.hpp) of a float backend.
template <class... Arguments>
KernelWork work_of(std::string_view kernel, Flops flops, const Arguments&... arguments) {
  KernelWork work{.label = std::string(kernel), .flops = flops, .bytes = detail::bytes_moved(kernel, arguments...)};
  detail::describe(work, arguments...);
  return work;
}

/// The rates that bound kernels.
struct Ceilings {
  std::string_view name;
  double bytes_a_second = 0;
  double product_flops = 0;     ///< of matrix products, a second
  double other_flops = 0;       ///< of everything else
  bool rounds_factors = false;  ///< products first round their factors from floats to two bytes, in passes of their own

  double memory_seconds(const KernelWork& work) const { return bytes(work) / bytes_a_second; }
  double compute_seconds(const KernelWork& work) const {
    return static_cast<double>(work.flops) / (work.product ? product_flops : other_flops);
  }
  double seconds(const KernelWork& work) const {
    const double rounding = rounding_bytes(work) / bytes_a_second;
    return rounding + std::max(memory_seconds(work) - rounding, compute_seconds(work));
  }
  /// Rounding included, after which the product reads factors of half the size.
  double bytes(const KernelWork& work) const {
    return static_cast<double>(work.bytes) +
           (rounds_factors ? rounding_bytes(work) - 2.0 * static_cast<double>(work.factor_elements) : 0.0);
  }

 private:
  double rounding_bytes(const KernelWork& work) const {
    return rounds_factors ? 6.0 * static_cast<double>(work.factor_elements) : 0.0;
  }
};

}  // namespace greentrainer::benchmarks
