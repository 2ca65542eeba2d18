#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/io/scratch_file.hpp"
#include "greentrainer/train/prefix_store.hpp"

namespace greentrainer {

/// Keeps entries in a file that has no name in its folder, so that nothing is left behind. What is read back is
/// checked: its mark, the file's generation, its key, its length and a sum of its bytes. A generation is drawn at
/// random for every file, and again by `clear`, so an entry of another run, model or cut is told apart.
class DiskPrefixStore final : public PrefixStore {
 public:
  /// Throws ConfigError where no file can be made in the folder.
  explicit DiskPrefixStore(const std::filesystem::path& folder) try : file_(folder) {
    clear();
  } catch (const SaveError& error) {
    throw ConfigError("fit", "prefix_cache_folder", text(folder.string(), ": ", error.detail()));
  }

  /// Reserves this many bytes on the disk. Throws ConfigError if there are not as many.
  void reserve(Bytes bytes) {
    if (const auto problem = file_.reserve(bytes)) {
      throw ConfigError("fit", "prefix_cache_folder",
                        text(file_.folder().string(), ": expected room for ", bytes, " bytes, got \"", *problem,
                             "\"; lower the limit, or choose another folder"));
    }
  }

  static constexpr Bytes header_bytes = 56;  ///< in front of every entry

  Bytes beside_each() const override { return header_bytes; }
  Bytes bytes() const override { return end_; }
  Bytes capacity() const override { return capacity_; }
  bool holds(std::size_t example) const override { return entries_.contains(example); }
  void put(const PrefixKey& key, std::vector<std::byte> entry) override {
    const Bytes size = beside_each() + static_cast<Bytes>(entry.size());
    if (end_ + size > capacity_) return;
    buffer_.resize(static_cast<std::size_t>(size));
    const Header header = header_of(key, entry);
    std::memcpy(buffer_.data(), &header, sizeof header);
    std::copy(entry.begin(), entry.end(), buffer_.begin() + sizeof header);
    if (const auto problem = file_.write(end_, buffer_)) {
      capacity_ = end_;
      warnings_.push_back(text("[prefix cache] ", file_.folder().string(), ": expected to write on after ", end_,
                               " bytes, got \"", *problem, "\"; examples that are not there are computed each time"));
      return;
    }
    entries_[key.example] = end_;
    end_ += size;
  }
  std::optional<std::span<const std::byte>> get(const PrefixKey& key, std::size_t size) override {
    const auto found = entries_.find(key.example);
    if (found == entries_.end()) return std::nullopt;
    buffer_.resize(sizeof(Header) + size);
    auto problem = file_.read(found->second, buffer_);
    const auto entry = std::span<const std::byte>(buffer_).subspan(sizeof(Header));
    if (!problem) {
      Header header;
      std::memcpy(&header, buffer_.data(), sizeof header);
      problem = difference(header, header_of(key, entry));
    }
    if (!problem) return entry;
    entries_.erase(found);
    warn_of_entry(key, *problem);
    return std::nullopt;
  }
  void clear() override {
    entries_.clear();
    end_ = 0;  // the room stays taken
    std::random_device random;
    for (std::uint64_t& word : generation_) word = (std::uint64_t{random()} << 32) | random();
  }
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }

  /// For tests that damage it.
  const ScratchFile& file() const { return file_; }

 private:
  struct Header {
    std::array<char, 8> mark = {'g', 't', '-', 'p', 'r', 'f', 'x', '1'};
    std::array<std::uint64_t, 2> generation = {};
    PrefixKey key;
    std::uint64_t size = 0;
    std::uint64_t sum = 0;
  };
  static_assert(sizeof(Header) == header_bytes);

  Header header_of(const PrefixKey& key, std::span<const std::byte> entry) const {
    Checksum sum;
    sum.add(entry);
    return {.generation = generation_, .key = key, .size = entry.size(), .sum = sum.value()};
  }
  static std::optional<std::string> difference(const Header& got, const Header& expected) {
    if (got.mark != expected.mark) return "something else";
    if (got.generation != expected.generation) return "one of another run, model or selection";
    if (got.key != expected.key) return "one of another example";
    if (got.size != expected.size) return text("one of ", got.size, " bytes");
    if (got.sum != expected.sum) return "damaged bytes";
    return std::nullopt;
  }
  /// Names the first damaged entry only; a broken disk would have thousands.
  void warn_of_entry(const PrefixKey& key, const std::string& got) {
    if (std::exchange(named_an_entry_, true)) return;
    warnings_.push_back(text("[prefix cache] ", file_.folder().string(), ", entry of example ", key.example,
                             ": expected what was written, got ", got,
                             "; it is computed again, and others like it are without a further word"));
  }

  ScratchFile file_;
  std::unordered_map<std::uint64_t, Bytes> entries_;  ///< where they begin
  Bytes end_ = 0;
  Bytes capacity_ = std::numeric_limits<Bytes>::max();
  std::array<std::uint64_t, 2> generation_ = {};
  std::vector<std::byte> buffer_;
  std::vector<std::string> warnings_;
  bool named_an_entry_ = false;
};

}  // namespace greentrainer
