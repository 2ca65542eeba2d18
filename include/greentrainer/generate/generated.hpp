#pragma once

#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// What was generated for one prompt.
struct Generated {
  std::vector<Index> ids = {};  ///< the new tokens, the one that ended them included
  bool ended = false;           ///< by one of eos_ids, rather than by max_new_tokens
  double score = 0;             ///< of beam search: log-probability / tokens^length_penalty
};

}  // namespace greentrainer
