#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// A 64-bit sum of bytes. A change of any one of their 8-byte words always changes it, since every step is a bijection
/// of the state. It detects accidents, not attacks.
class Checksum {
 public:
  explicit Checksum(std::uint64_t seed = 0x9e3779b97f4a7c15U) : state_(seed) {}

  void add(std::uint64_t word) { state_ = std::rotl((state_ ^ word) * 0x9fb21c651e98df25U, 29); }
  void add(std::span<const std::byte> bytes) {
    add(static_cast<std::uint64_t>(bytes.size()));
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
      add(word);
    }
  }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_;
};

/// The key of an entry: the number of an example and a checksum of its tokens, which tells it from another example of
/// the same number.
struct PrefixKey {
  std::uint64_t example = 0;
  std::uint64_t tokens = 0;

  friend bool operator==(const PrefixKey&, const PrefixKey&) = default;
};

/// Where the entries of a prefix cache lie. An entry is a string of bytes. One that cannot be kept, or not be read back
/// unchanged, counts as absent: `take_warnings` says so, and it is never an error, since the values can be computed
/// again.
class PrefixStore {
 public:
  virtual ~PrefixStore() = default;

  /// Bytes that an entry takes beside its own.
  virtual Bytes beside_each() const = 0;
  /// Bytes that the entries take.
  virtual Bytes bytes() const = 0;
  /// Bytes that entries can take at all; less than asked for once it turned out so.
  virtual Bytes capacity() const { return std::numeric_limits<Bytes>::max(); }

  /// Whether there is an entry of an example's number.
  virtual bool holds(std::size_t example) const = 0;
  /// Adds an entry, or replaces it.
  virtual void put(const PrefixKey& key, std::vector<std::byte> entry) = 0;
  /// The entry of a key, of so many bytes; valid until the next call. Drops an entry that has changed since it was put
  /// there.
  virtual std::optional<std::span<const std::byte>> get(const PrefixKey& key, std::size_t size) = 0;
  virtual void clear() = 0;

  /// What went wrong since the last call, for people.
  virtual std::vector<std::string> take_warnings() { return {}; }
};

/// Entries in the host's memory.
class MemoryPrefixStore final : public PrefixStore {
 public:
  Bytes beside_each() const override { return 0; }
  Bytes bytes() const override { return bytes_; }
  bool holds(std::size_t example) const override { return entries_.contains(example); }
  void put(const PrefixKey& key, std::vector<std::byte> entry) override {
    drop(key.example);
    bytes_ += static_cast<Bytes>(entry.size());
    entries_[key.example] = {.tokens = key.tokens, .bytes = std::move(entry)};
  }
  std::optional<std::span<const std::byte>> get(const PrefixKey& key, std::size_t size) override {
    const auto found = entries_.find(key.example);
    if (found == entries_.end()) return std::nullopt;
    if (found->second.tokens == key.tokens && found->second.bytes.size() == size) return found->second.bytes;
    drop(key.example);
    return std::nullopt;
  }
  void clear() override {
    entries_.clear();
    bytes_ = 0;
  }

 private:
  struct Entry {
    std::uint64_t tokens = 0;
    std::vector<std::byte> bytes = {};
  };

  void drop(std::uint64_t example) {
    const auto found = entries_.find(example);
    if (found == entries_.end()) return;
    bytes_ -= static_cast<Bytes>(found->second.bytes.size());
    entries_.erase(found);
  }

  std::unordered_map<std::uint64_t, Entry> entries_;
  Bytes bytes_ = 0;
};

}  // namespace greentrainer
