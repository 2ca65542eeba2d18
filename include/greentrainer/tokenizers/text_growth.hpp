#pragma once

#include <cstddef>
#include <string_view>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// Throws DataError if a part of a tokenizer, `part` of its file, has made `size` bytes of a text of `input` bytes and
/// that is more than any real one makes. To be called after each step: forty steps that double a text make a terabyte
/// of one byte.
inline void check_text_growth(std::size_t size, std::size_t input, std::string_view part) {
  constexpr std::size_t times = 64;
  constexpr std::size_t plus = std::size_t{1} << 20;
  if (size <= plus || (size - plus) / times < input) return;
  throw DataError("tokenizer",
                  text(part, ": expected at most ", times, " times the text's ", input, " bytes and 1 MiB, got ", size,
                       " bytes; is the tokenizer's file as it was published?"));
}

}  // namespace greentrainer
