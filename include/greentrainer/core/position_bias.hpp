#pragma once

#include "greentrainer/core/types.hpp"

namespace greentrainer {

// Plain arithmetic that a compiler can do: kernels on a device compute the same numbers as the host.

/// ALiBi's slope of a head, as BLOOM defines it. With n the largest power of two up to `heads`: 2^(-8 (head + 1) / n)
/// for the first n heads, and for the rest every other slope that 2n heads would have, 2^(-4 (2 (head - n) + 1) / n).
constexpr double alibi_slope(Extent heads, Extent head) {
  Extent n = 1;
  while (2 * n <= heads) n *= 2;
  Extent exponent = head < n ? 8 * (head + 1) : 4 * (2 * (head - n) + 1);
  double slope = 1;
  for (; exponent >= n; exponent -= n) slope /= 2;
  double root = 0.5;  // 2^(-unit / n)
  for (Extent unit = n; exponent > 0;) {
    double half = 1;
    for (int i = 0; i < 6; ++i)
      half = (half + root / half) / 2;  // Newton's square root; six steps from 1 are exact for a number in [1/2, 1]
    root = half;
    unit /= 2;
    if (exponent < unit) continue;
    slope *= root;
    exponent -= unit;
  }
  return slope;
}

/// T5's relative position bias: a number a head, by bucket of the distance from query to key. Near distances have
/// buckets of their own, farther ones share logarithmically wider ones.
struct RelativeBias {
  Extent buckets = 0;  ///< 0: no such bias; else at least 2, bidirectional 4
  Extent max_distance =
      128;  ///< distances from here on share a bucket; more than buckets / 2, bidirectional buckets / 4
  bool bidirectional =
      true;  ///< half of the buckets for keys ahead of the query; otherwise all of these are at distance 0
};

/// Binary logarithm of x >= 1 to about 45 bits: the fraction's bits come from squaring.
constexpr double log2_of(double x) {
  double logarithm = 0, bit = 0.5;
  for (; x >= 2; x /= 2) logarithm += 1;  // NOLINT(clang-analyzer-security.FloatLoopCounter): halving is exact
  for (int i = 0; i < 45; ++i, bit /= 2) {
    x *= x;
    if (x < 2) continue;
    x /= 2;
    logarithm += bit;
  }
  return logarithm;
}

/// The bucket of a key `distance` tokens ahead of its query (behind it: negative), as transformers counts them.
/// Distances that lie on a border, which are rational, fall above it.
constexpr Extent relative_bucket(const RelativeBias& bias, Extent distance) {
  const Extent buckets = bias.bidirectional ? bias.buckets / 2 : bias.buckets, exact = buckets / 2;
  const Extent ahead = bias.bidirectional && distance > 0 ? buckets : 0;
  const Extent away = distance < 0 ? -distance : bias.bidirectional ? distance : 0;
  if (away < exact) return ahead + away;
  if (away >= bias.max_distance) return ahead + buckets - 1;
  const double share = log2_of(static_cast<double>(away) / static_cast<double>(exact)) /
                       log2_of(static_cast<double>(bias.max_distance) / static_cast<double>(exact));
  return ahead + exact + static_cast<Extent>(share * static_cast<double>(buckets - exact) + 1e-9);
}

}  // namespace greentrainer
