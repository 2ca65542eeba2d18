#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer {

namespace detail {

/// Llama 3.1: short waves stay, long ones are stretched, and between the two lies a smooth change.
inline double llama3_frequency(double frequency, const RotaryScaling& s) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < s.original_positions / s.high_frequency_factor) return frequency;
  if (wavelength > s.original_positions / s.low_frequency_factor) return frequency / s.factor;
  const double smooth =
      (s.original_positions / wavelength - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

/// YaRN (arXiv 2309.00071): pairs that turn often in the original context stay, those that turn seldom are stretched.
inline void scale_as_yarn(std::vector<double>& frequencies, const RotaryShape& shape) {
  const RotaryScaling& s = shape.scaling;
  const auto columns = static_cast<double>(shape.columns());
  const auto pair_turning = [&](double turns) {
    return columns * std::log(s.original_positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(shape.theta));
  };
  double low = pair_turning(s.beta_fast), high = pair_turning(s.beta_slow);
  if (s.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, columns - 1);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double stretched = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= stretched / s.factor + (1 - stretched);
  }
}

}  // namespace detail

/// What each pair of columns turns by, from one position to the next, in radians: theta^(-2 i / columns), scaled.
inline std::vector<double> rotary_frequencies(const RotaryShape& shape) {
  std::vector<double> frequencies(static_cast<std::size_t>(shape.pairs()));
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(shape.theta, -2.0 * static_cast<double>(i) / static_cast<double>(shape.columns()));
  switch (shape.scaling.kind) {
    case RotaryScaling::Kind::none: break;
    case RotaryScaling::Kind::linear:
      for (double& frequency : frequencies) frequency /= shape.scaling.factor;
      break;
    case RotaryScaling::Kind::llama3:
      for (double& frequency : frequencies) frequency = detail::llama3_frequency(frequency, shape.scaling);
      break;
    case RotaryScaling::Kind::yarn: detail::scale_as_yarn(frequencies, shape); break;
    case RotaryScaling::Kind::longrope:
      for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= shape.scaling.factors[i];
      break;
  }
  return frequencies;
}

/// Whether the rotary embedding of a sequence of so many tokens, and with it that of its first ones, is another than
/// that of a short one.
inline bool is_beyond(const RotaryScaling& scaling, Extent tokens) {
  return !scaling.factors_beyond.empty() && static_cast<double>(tokens) > scaling.original_positions;
}

/// The rotary embedding of all tokens of a sequence of so many. It depends on no other length.
inline RotaryShape rotary_of_length(RotaryShape shape, Extent tokens) {
  if (is_beyond(shape.scaling, tokens)) shape.scaling.factors = std::move(shape.scaling.factors_beyond);
  shape.scaling.factors_beyond.clear();
  return shape;
}

}  // namespace greentrainer
