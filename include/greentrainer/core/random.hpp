#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <string_view>
#include <utility>

namespace greentrainer {

/// One block of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a pure function
/// of counter and key.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

/// Random bits by number, as many as are asked for: a pure function of (seed, purpose, step), so that threads and
/// devices draw any part of them alone. Purposes are short texts such as "shuffle" or "dropout".
struct RandomStream {
  std::array<std::uint32_t, 2> key{};
  std::array<std::uint32_t, 2> high{};

  RandomStream() = default;
  constexpr RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t step = 0)
      : key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        high{static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(hash(purpose) ^ (step >> 32))} {}

  /// Numbers 4 * index to 4 * index + 3, of 32 uniform bits each.
  constexpr std::array<std::uint32_t, 4> block(std::uint64_t index) const {
    return philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), high[0], high[1]},
                      key);
  }

 private:
  static constexpr std::uint64_t hash(std::string_view s) {  // FNV-1a
    std::uint64_t h = 0xcbf29ce484222325ULL;
    for (char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return h;
  }
};

/// Random numbers in the order of a RandomStream: drawing for one purpose never disturbs another, and a run can be
/// resumed at any step.
class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::string_view purpose, std::uint64_t step = 0) : stream_(seed, purpose, step) {}

  /// 32 uniform bits.
  std::uint32_t next() {
    if (used_ == 4) {
      block_ = stream_.block(index_++);
      used_ = 0;
    }
    return block_[used_++];
  }

  /// Uniform in [0, 1) with 53 bits.
  double uniform() {
    const std::uint64_t high = next() >> 5;
    const std::uint64_t low = next() >> 6;
    return static_cast<double>((high << 26) | low) * 0x1p-53;
  }

  /// Uniform in [0, bound), without bias. Requires bound > 0.
  std::uint32_t below(std::uint32_t bound) {
    const std::uint32_t rejected = (0U - bound) % bound;
    while (true) {
      const std::uint64_t product = std::uint64_t{next()} * bound;
      if (static_cast<std::uint32_t>(product) >= rejected) return static_cast<std::uint32_t>(product >> 32);
    }
  }

  /// Standard normal (Box and Muller).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

  /// Permutes `items` uniformly (Fisher and Yates). Requires fewer than 2^32 items.
  template <class T>
  void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
  }

 private:
  RandomStream stream_;
  std::array<std::uint32_t, 4> block_{};
  std::uint64_t index_ = 0;
  std::size_t used_ = 4;
};

}  // namespace greentrainer
