#pragma once

#include <cmath>
#include <compare>

#include "greentrainer/concepts/backend.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// A double that counts what is done to it: + - * / and elementary functions one each, comparisons and signs nothing.
/// It carries the address of its counter, so there is no global one; a constant has none, and passes on its partner's.
class CountingScalar {
 public:
  CountingScalar() = default;
  CountingScalar(double value, Flops* counter = nullptr) : value_(value), counter_(counter) {}

  double value() const { return value_; }
  explicit operator double() const { return value_; }

  friend CountingScalar operator+(CountingScalar a, CountingScalar b) { return count(a.value_ + b.value_, a, b); }
  friend CountingScalar operator-(CountingScalar a, CountingScalar b) { return count(a.value_ - b.value_, a, b); }
  friend CountingScalar operator*(CountingScalar a, CountingScalar b) { return count(a.value_ * b.value_, a, b); }
  friend CountingScalar operator/(CountingScalar a, CountingScalar b) { return count(a.value_ / b.value_, a, b); }
  CountingScalar& operator+=(CountingScalar b) { return *this = *this + b; }
  CountingScalar& operator-=(CountingScalar b) { return *this = *this - b; }
  CountingScalar& operator*=(CountingScalar b) { return *this = *this * b; }
  CountingScalar operator-() const { return {-value_, counter_}; }

  friend CountingScalar sqrt(CountingScalar a) { return count(std::sqrt(a.value_), a, a); }
  friend CountingScalar exp(CountingScalar a) { return count(std::exp(a.value_), a, a); }
  friend CountingScalar log(CountingScalar a) { return count(std::log(a.value_), a, a); }
  friend CountingScalar tanh(CountingScalar a) { return count(std::tanh(a.value_), a, a); }
  friend CountingScalar erf(CountingScalar a) { return count(std::erf(a.value_), a, a); }

  /// A number that counts with a's counter, as if it had been read from memory.
  friend CountingScalar number_like(CountingScalar a, double value) { return {value, a.counter_}; }

  friend bool operator==(CountingScalar a, CountingScalar b) { return a.value_ == b.value_; }
  friend std::partial_ordering operator<=>(CountingScalar a, CountingScalar b) { return a.value_ <=> b.value_; }

 private:
  static CountingScalar count(double value, CountingScalar a, CountingScalar b) {
    Flops* counter = a.counter_ != nullptr ? a.counter_ : b.counter_;
    if (counter != nullptr) ++*counter;
    return {value, counter};
  }

  double value_ = 0;
  Flops* counter_ = nullptr;
};

template <>
inline constexpr bool is_element<CountingScalar> = true;

}  // namespace greentrainer
