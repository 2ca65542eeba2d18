#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace greentrainer::select_detail {

/// A set of small numbers whose range is fixed at run time; std::bitset's is not, and std::vector<bool> has no
/// word-wise operations.
class BitSet {
 public:
  BitSet() = default;
  explicit BitSet(std::size_t range) : words_((range + 63) / 64, 0) {}

  void insert(std::size_t n) { words_[n / 64] |= std::uint64_t{1} << (n % 64); }
  void erase(std::size_t n) { words_[n / 64] &= ~(std::uint64_t{1} << (n % 64)); }
  bool contains(std::size_t n) const { return ((words_[n / 64] >> (n % 64)) & 1U) != 0; }

  bool empty() const {
    for (const std::uint64_t word : words_) {
      if (word != 0) return false;
    }
    return true;
  }
  std::size_t count() const {
    std::size_t sum = 0;
    for (const std::uint64_t word : words_) sum += static_cast<std::size_t>(std::popcount(word));
    return sum;
  }
  /// Calls `visit` with each member, ascending.
  template <class Visit>
  void for_each(Visit visit) const {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      for (std::uint64_t word = words_[w]; word != 0; word &= word - 1)
        visit(64 * w + static_cast<std::size_t>(std::countr_zero(word)));
    }
  }
  bool meets(const BitSet& other) const {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      if ((words_[w] & other.words_[w]) != 0) return true;
    }
    return false;
  }
  bool contains_all(const BitSet& other) const {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      if ((other.words_[w] & ~words_[w]) != 0) return false;
    }
    return true;
  }
  BitSet& operator|=(const BitSet& other) {
    for (std::size_t w = 0; w < words_.size(); ++w) words_[w] |= other.words_[w];
    return *this;
  }
  BitSet& operator-=(const BitSet& other) {
    for (std::size_t w = 0; w < words_.size(); ++w) words_[w] &= ~other.words_[w];
    return *this;
  }
  BitSet& operator&=(const BitSet& other) {
    for (std::size_t w = 0; w < words_.size(); ++w) words_[w] &= other.words_[w];
    return *this;
  }
  bool operator==(const BitSet&) const = default;

  std::size_t hash() const {
    std::uint64_t h = 0x9e3779b97f4a7c15U;
    for (const std::uint64_t word : words_) h = (h ^ word ^ (h >> 29)) * 0xbf58476d1ce4e5b9U;
    return static_cast<std::size_t>(h ^ (h >> 32));
  }

 private:
  std::vector<std::uint64_t> words_;
};

struct BitSetHash {
  std::size_t operator()(const BitSet& set) const { return set.hash(); }
};

}  // namespace greentrainer::select_detail
