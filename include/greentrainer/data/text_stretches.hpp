#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/types.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// A stretch of a text that is tokenised as a whole.
struct TextStretch {
  std::string text;
  bool labelled = false;  ///< whether its tokens carry loss
};

/// The ids of each stretch of the one text that they make up end to end. A token over a border belongs to a labelled
/// stretch if it holds a character of one, as in transformers' assistant masks, else to the stretch that it ends in.
/// Throws as Tokenizer::encode.
inline std::vector<std::vector<Index>> tokenize_stretches(const Tokenizer& tokenizer,
                                                          std::span<const TextStretch> stretches) {
  std::string whole;
  std::vector<std::size_t> ends;
  for (const TextStretch& stretch : stretches) {
    whole += stretch.text;
    ends.push_back(whole.size());
  }
  const EncodedText encoded = tokenizer.encode_with_offsets(whole);
  std::vector<std::vector<Index>> ids(stretches.size());
  std::size_t current = 0;  // tokens come in the text's order
  for (std::size_t t = 0; t < encoded.ids.size(); ++t) {
    const ByteRange range = encoded.offsets[t];
    while (ends[current] <= range.begin) ++current;
    while (ends[current] < range.end && !stretches[current].labelled) ++current;
    ids[current].push_back(encoded.ids[t]);
  }
  return ids;
}

}  // namespace greentrainer
