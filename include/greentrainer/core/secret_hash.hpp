#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace greentrainer {

namespace detail {

/// Both halves of the 128-bit product, combined: every bit of either factor reaches the result.
constexpr std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t a_low = a & 0xffffffff, a_high = a >> 32, b_low = b & 0xffffffff, b_high = b >> 32;
  const std::uint64_t low = a_low * b_low, first = a_high * b_low + (low >> 32);
  const std::uint64_t second = a_low * b_high + (first & 0xffffffff);
  const std::uint64_t upper = a_high * b_high + (first >> 32) + (second >> 32);
  return upper ^ (second << 32 | (low & 0xffffffff));
}

/// Random numbers of this process.
struct HashSecret {
  std::uint64_t start, factor;

  static const HashSecret& of_process() {
    static const HashSecret secret = [] {
      std::random_device device;
      const auto bits = [&device] { return std::uint64_t{device()} << 32 | device(); };
      return HashSecret{bits(), bits() | 1};
    }();
    return secret;
  }
};

}  // namespace detail

/// Hash of texts that come from untrusted files. It differs from process to process, so that nobody can choose texts
/// that all fall into one bucket, which would make the time of a table quadratic. Nothing may depend on the order of
/// such a table. Tables of std::string can be searched by std::string_view.
struct SecretHash {
  using is_transparent = void;

  std::size_t operator()(std::string_view text) const {
    const auto& [start, factor] = detail::HashSecret::of_process();
    std::uint64_t hash = start ^ text.size();
    while (!text.empty()) {
      std::uint64_t word = 0;
      const std::size_t taken = std::min(text.size(), sizeof(word));
      std::memcpy(&word, text.data(), taken);
      text.remove_prefix(taken);
      hash = detail::folded_product(hash ^ word, factor);
    }
    return static_cast<std::size_t>(detail::folded_product(hash ^ start, factor));
  }
  std::size_t operator()(std::uint64_t number) const {
    const auto& [start, factor] = detail::HashSecret::of_process();
    return static_cast<std::size_t>(detail::folded_product(detail::folded_product(number ^ start, factor), factor));
  }
};

template <class Value>
using StringMap = std::unordered_map<std::string, Value, SecretHash, std::equal_to<>>;
using StringSet = std::unordered_set<std::string, SecretHash, std::equal_to<>>;

}  // namespace greentrainer
