#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer::testing {

/// Compares gradients with central differences of sum(dy * y), y = forward(inputs), along random directions, in double.
template <class B>
class GradientCheck {
 public:
  struct Input {
    std::string name;
    Extent rows, cols;
  };
  struct Shape {
    Extent rows, cols;
  };

  /// What the two functions see: inputs, their gradients (zero at first), y, dy, statistics from forward to backward,
  /// and one index array.
  class Data {
   public:
    Matrix<const double> in(std::size_t i) const { return inputs[i].matrix(); }
    double* vector(std::size_t i) const { return inputs[i].data(); }
    Matrix<double> grad(std::size_t i) const { return grads[i].matrix(); }
    Matrix<double> y() const { return output.matrix(); }
    Matrix<const double> dy() const { return grad_output.matrix(); }
    Matrix<double> stats() const { return statistics.matrix(); }
    const Index* index(std::size_t = 0) const { return indices.data(); }

   private:
    friend class GradientCheck;
    std::vector<Tensor<B>> inputs, grads;
    Tensor<B> output, grad_output, statistics;
    Tensor<B, Index> indices;
  };

  GradientCheck(std::vector<Input> inputs, Shape output, std::vector<Index> indices = {}, Shape stats = {0, 0}) {
    for (const Input& input : inputs) {
      names_.push_back(input.name);
      data_.inputs.push_back(random(input.name, input.rows, input.cols));
      data_.grads.emplace_back(backend_, input.rows, input.cols);
      data_.grads.back().zero();
    }
    data_.output = Tensor<B>(backend_, output.rows, output.cols);
    data_.grad_output = random("dy", output.rows, output.cols);
    data_.statistics = Tensor<B>(backend_, stats.rows, stats.cols);
    data_.indices = Tensor<B, Index>(backend_, std::span<const Index>(indices));
  }

  std::function<void(B&, Data&)> forward;
  std::function<void(B&, Data&)> backward;

  void run() {
    forward(backend_, data_);
    backward(backend_, data_);
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const std::vector<double> gradient = data_.grads[i].download(), start = data_.inputs[i].download();
      for (int direction = 0; direction < 4; ++direction) {
        const std::vector<double> along =
            random("direction " + std::to_string(direction), 1, static_cast<Extent>(start.size())).download();
        const double slope = (moved(i, start, along, step) - moved(i, start, along, -step)) / (2 * step);
        double expected = 0, size = 0;
        for (std::size_t k = 0; k < start.size(); ++k) {
          expected += gradient[k] * along[k];
          size += std::abs(gradient[k] * along[k]);
        }
        CAPTURE(names_[i]);
        CAPTURE(expected);
        CAPTURE(slope);
        CHECK(std::abs(slope - expected) <= 1e-7 * (size + 1));
      }
      data_.inputs[i].upload(start);
    }
  }

 private:
  // Truncation goes with its square, rounding with 1e-16 over it.
  static constexpr double step = 1e-5;

  Tensor<B> random(const std::string& name, Extent rows, Extent cols) {
    CounterRandom numbers(2, name);
    std::vector<double> values(static_cast<std::size_t>(rows * cols));
    for (double& x : values) x = numbers.normal();
    Tensor<B> tensor(backend_, rows, cols);
    tensor.upload(values);
    return tensor;
  }
  double moved(std::size_t i, std::vector<double> x, const std::vector<double>& along, double by) {
    for (std::size_t k = 0; k < x.size(); ++k) x[k] += by * along[k];
    data_.inputs[i].upload(x);
    forward(backend_, data_);
    const std::vector<double> y = data_.output.download(), dy = data_.grad_output.download();
    double sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) sum += y[k] * dy[k];
    return sum;
  }

  B backend_;
  Data data_;
  std::vector<std::string> names_;
};

}  // namespace greentrainer::testing
