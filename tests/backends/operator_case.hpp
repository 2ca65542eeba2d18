#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/backends/reference.hpp"
#include "greentrainer/backends/reference/counting_scalar.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer::testing {

/// What a kernel reads and writes: a matrix with `gap` unused elements after each row, which nobody may touch. A vector
/// is a matrix of one row.
struct Operand {
  enum class Fill { normal, positive, zero };

  std::string name;
  Extent rows = 1;
  Extent cols = 0;
  bool written = false;
  Fill fill = Fill::normal;
  Extent gap = 0;

  Extent stride() const { return cols + gap; }
};

struct NothingToPrepare {
  void operator()(auto&, auto&) const {}
};

/// A kernel at one shape.
struct CaseDescription {
  std::string kernel;
  std::string shape;
  Flops flops = 0;
  Extent depth = 1;  ///< terms of its longest sum, which its tolerance follows from
  std::vector<Operand> operands = {};
  std::vector<std::vector<Index>> indices = {};

  std::string name() const { return kernel + " " + shape; }
};

/// One call of it, for any backend: `call(backend, data)` makes it. `prepare`, run on the reference, makes operands
/// that come from another kernel (statistics, say).
template <class Call, class Prepare>
struct OperatorCase : CaseDescription {
  Call call;
  Prepare prepare;
};
template <class Call, class Prepare = NothingToPrepare>
OperatorCase<Call, Prepare> operator_case(CaseDescription description, Call call, Prepare prepare = {}) {
  return {std::move(description), std::move(call), std::move(prepare)};
}

/// What rounding may do to a sum of `depth` terms computed in T, relative to the size of the tensor's elements.
template <class T>
double tolerance(Extent depth) {
  return (16 + 4 * std::sqrt(static_cast<double>(depth))) * static_cast<double>(std::numeric_limits<T>::epsilon());
}

/// Elements of each operand, gaps included.
using CaseValues = std::vector<std::vector<double>>;

inline constexpr double gap_value = -77;

template <class T>
double rounded(double x) {
  return static_cast<double>(static_cast<T>(x));
}
template <>
inline double rounded<CountingScalar>(double x) {
  return x;
}

/// Operands of a case in a backend's memory.
template <class B>
class CaseData {
 public:
  using T = typename B::Scalar;

  template <class Case>
  CaseData(B& backend, const Case& test, const CaseValues& values, Flops* counter = nullptr)
      : operands_(test.operands), result_(backend, 1, 1) {
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      Tensor<B> tensor(backend, operands_[i].rows, operands_[i].stride());
      tensor.upload(convert(values[i], counter));
      tensors_.push_back(std::move(tensor));
    }
    for (const std::vector<Index>& index : test.indices) indices_.emplace_back(backend, std::span<const Index>(index));
    result_.zero();
  }

  Matrix<const T> in(std::size_t i) const { return out(i); }
  Matrix<T> out(std::size_t i) const {
    return {tensors_[i].data(), operands_[i].rows, operands_[i].cols, operands_[i].stride()};
  }
  T* vector(std::size_t i) const { return tensors_[i].data(); }
  const Index* index(std::size_t i) const { return indices_[i].data(); }
  double* result() const { return result_.data(); }

  CaseValues values() const {
    CaseValues all;
    for (const Tensor<B>& tensor : tensors_) {
      std::vector<double> values;
      for (const T& x : tensor.download()) values.push_back(static_cast<double>(x));
      all.push_back(std::move(values));
    }
    return all;
  }
  double result_value() const { return result_.download()[0]; }

 private:
  static std::vector<T> convert(const std::vector<double>& values, [[maybe_unused]] Flops* counter) {
    std::vector<T> converted;
    for (double x : values) {
      if constexpr (std::is_same_v<T, CountingScalar>)
        converted.emplace_back(x, counter);
      else
        converted.push_back(static_cast<T>(x));
    }
    return converted;
  }

  std::vector<Operand> operands_;
  std::vector<Tensor<B>> tensors_;
  std::vector<Tensor<B, Index>> indices_;
  Tensor<B, double> result_;
};

/// The same numbers every time, as T holds them.
template <class T, class Case>
CaseValues initial_values(const Case& test) {
  CaseValues all;
  for (const Operand& operand : test.operands) {
    CounterRandom random(1, operand.name);
    std::vector<double> values;
    for (Extent r = 0; r < operand.rows; ++r) {
      for (Extent c = 0; c < operand.stride(); ++c) {
        double x = operand.fill == Operand::Fill::zero ? 0 : random.normal();
        if (operand.fill == Operand::Fill::positive) x = std::abs(x) + 0.01;
        values.push_back(rounded<T>(c < operand.cols ? x : gap_value));
      }
    }
    all.push_back(std::move(values));
  }
  ReferenceBackend<double> reference;
  CaseData<ReferenceBackend<double>> data(reference, test, all);
  test.prepare(reference, data);
  all = data.values();
  for (std::vector<double>& values : all) {
    for (double& x : values) x = rounded<T>(x);
  }
  return all;
}

/// What a case left behind.
struct CaseOutcome {
  CaseValues values;
  double result = 0;
};

template <class B, class Case>
CaseOutcome run_case(B& backend, const Case& test, const CaseValues& values, Flops* counter = nullptr) {
  CaseData<B> data(backend, test, values, counter);
  if (counter != nullptr) *counter = 0;
  test.call(backend, data);
  backend.synchronize();
  const Flops counted = counter == nullptr ? 0 : *counter;
  CaseOutcome outcome{data.values(), data.result_value()};
  if (counter != nullptr) *counter = counted;
  return outcome;
}

/// Where sequences of these lengths begin, and at last where they end.
inline std::vector<Index> offsets_of(const std::vector<Index>& lengths) {
  std::vector<Index> offsets = {0};
  for (Index length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

}  // namespace greentrainer::testing
