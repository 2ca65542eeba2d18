#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// What goes where a row has more tokens than it may have. BOS, separators and a completion are never cut. A plain text
/// and ids lose their end, and so does an encoder's source.
enum class Truncation {
  turns,   ///< of a conversation whole turns from its front; of a prompt its front, so that its end stays
  end,     ///< a conversation's end, as in TRL; the ends of a prompt's parts, as in the paper's code
  refuse,  ///< nothing: such a row is a DataError
};

inline constexpr std::array<std::string_view, 3> truncation_names = {"turns", "end", "refuse"};

/// Throws UsageError for a name that is none of truncation_names.
inline Truncation parse_truncation(std::string_view name) {
  for (std::size_t i = 0; i < truncation_names.size(); ++i) {
    if (name == truncation_names[i]) return static_cast<Truncation>(i);
  }
  throw UsageError("truncation", "truncation", text("expected turns, end or refuse, got ", name));
}

/// Of `what` a row has, where it may not be cut.
[[noreturn]] inline void refuse_to_cut(std::string_view what, Extent most, Extent got) {
  throw DataError("data", what,
                  text("expected at most ", most, " tokens, got ", got,
                       "; allow more (max_tokens), or let rows be cut (truncation)"));
}

/// Takes off what an example has beyond `most` tokens, and says whether that was anything. Throws DataError where
/// nothing may be cut.
inline bool cut_end(Example& example, Extent most, Truncation truncation, std::string_view what) {
  const auto size = static_cast<Extent>(example.input_ids.size());
  if (size <= most) return false;
  if (truncation == Truncation::refuse) refuse_to_cut(what, most, size);
  example.input_ids.resize(static_cast<std::size_t>(most));
  example.labels.resize(static_cast<std::size_t>(most));
  return true;
}

}  // namespace greentrainer
