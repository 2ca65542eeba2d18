#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// What the files of a tokenizer may make of one text, from the first step to the last: a number of steps, which is
/// linear in the text's length, and a size that no step's result goes beyond. One object goes through all parts for a
/// text: limits for each part, or for each of its calls, would multiply.
class TextBudget {
 public:
  /// `input`: the text's bytes. `source`: the tokenizer's file, for errors; must outlive the budget.
  TextBudget(std::size_t input, std::string_view source)
      : input_(input), source_(source), left_(fewest_steps + std::uint64_t{input} * steps_per_byte) {}

  /// Takes steps off, or takes all and says false where fewer are left. A step is about a nanosecond.
  bool try_spend(std::uint64_t steps) {
    const bool enough = steps <= left_;
    spent_ += enough ? steps : left_;
    left_ -= enough ? steps : left_;
    return enough;
  }

  /// Throws DataError where fewer steps are left. `part`: what of the file takes them.
  void spend(std::uint64_t steps, std::string_view part) {
    if (try_spend(steps)) return;
    throw DataError("tokenizer", text(source_, ", ", part),
                    text("expected at most ", spent_, " steps for a text of ", input_,
                         " bytes, got more; is the tokenizer's file as it was published?"));
  }

  /// To be called after, or during, each step that writes text: `size` bytes are there of the text now. Throws
  /// DataError if no real tokenizer makes so much of it, or writes so often.
  void wrote(std::size_t size, std::string_view part) {
    require_size(size, part);
    spend(size * steps_per_byte_written, part);
  }

  /// Throws DataError for more bytes (or ids) than any real tokenizer makes of the text.
  void require_size(std::size_t size, std::string_view part) const {
    if (size <= largest_size()) return;
    throw DataError("tokenizer", text(source_, ", ", part),
                    text("expected at most ", times, " times the text's ", input_, " bytes and 64 KiB, got ", size,
                         " bytes; is the tokenizer's file as it was published?"));
  }

  std::size_t largest_size() const { return times * input_ + plus; }
  std::uint64_t spent() const { return spent_; }

 private:
  static constexpr std::size_t times = 64;
  static constexpr std::size_t plus = std::size_t{1} << 16;
  static constexpr std::uint64_t fewest_steps = std::uint64_t{1} << 26;
  static constexpr std::uint64_t steps_per_byte = std::uint64_t{1} << 14;
  static constexpr std::uint64_t steps_per_byte_written = 4;

  std::size_t input_;
  std::string_view source_;
  std::uint64_t left_;
  std::uint64_t spent_ = 0;
};

}  // namespace greentrainer
