#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// How text is generated. Names and meanings are those of transformers' generate; "context" is what a sequence holds so
/// far, a decoder-only model's prompt included.
struct GenerateOptions {
  Extent max_new_tokens = 64;
  Extent min_new_tokens = 0;        ///< no end before so many
  std::vector<Index> eos_ids = {};  ///< any of them ends a sequence
  double repetition_penalty =
      1;  ///< on tokens of the context: positive scores are divided by it, negative ones multiplied
  Extent no_repeat_ngram_size = 0;  ///< no run of so many tokens twice in the context; 0: off

  Extent beams = 1;           ///< more than 1: beam search
  double length_penalty = 1;  ///< a finished beam's log-probability is divided by its number of tokens to this power
  bool early_stopping =
      false;  ///< stop as soon as there are as many finished beams as beams, rather than when no better one is in sight

  double temperature = 0;  ///< 0: always the most probable token; else draw from softmax(scores / temperature)
  Extent top_k = 0;        ///< draw from the so many best; 0: from all
  double top_p = 1;        ///< draw from the fewest best that together are at least as probable as this
  std::uint64_t seed = 0;  ///< a sequence's draws depend on it and the number of its prompt alone

  Extent batch_size = 8;  ///< prompts at a time; results do not depend on it beyond rounding
};

/// Whether a token ends a sequence.
inline bool is_end(Index id, const GenerateOptions& options) {
  return std::find(options.eos_ids.begin(), options.eos_ids.end(), id) != options.eos_ids.end();
}

/// Throws ConfigError for options that are out of range or contradict each other, and for ids beyond the vocabulary.
inline void check_options(const GenerateOptions& o, Extent vocabulary) {
  const auto expect = [](bool holds, const char* field, const char* expected, auto got) {
    if (!holds) throw ConfigError("generate", field, text("expected ", expected, ", got ", got));
  };
  const auto positive = [](double x) { return std::isfinite(x) && x > 0; };
  expect(o.max_new_tokens >= 1, "max_new_tokens", "at least 1", o.max_new_tokens);
  expect(o.min_new_tokens >= 0 && o.min_new_tokens <= o.max_new_tokens, "min_new_tokens", "0 to max_new_tokens",
         o.min_new_tokens);
  expect(positive(o.repetition_penalty), "repetition_penalty", "a positive number", o.repetition_penalty);
  expect(o.no_repeat_ngram_size >= 0, "no_repeat_ngram_size", "at least 0", o.no_repeat_ngram_size);
  expect(o.beams >= 1 && o.beams <= vocabulary / 2, "beams", "1 to half of the vocabulary", o.beams);
  expect(std::isfinite(o.length_penalty), "length_penalty", "a finite number", o.length_penalty);
  // Below, scores divided by it are beyond a double; 0 says what would be meant.
  expect(o.temperature == 0 || (o.temperature >= 1e-6 && std::isfinite(o.temperature)), "temperature",
         "1e-6 or more, or 0 for the most probable token", o.temperature);
  expect(o.temperature == 0 || o.beams == 1, "beams", "1 where tokens are drawn (temperature > 0)", o.beams);
  expect(o.top_k >= 0, "top_k", "at least 0", o.top_k);
  expect(o.top_p > 0 && o.top_p <= 1, "top_p", "more than 0 and at most 1", o.top_p);
  expect(o.batch_size >= 1, "batch_size", "at least 1", o.batch_size);
  for (const Index id : o.eos_ids) expect(id >= 0 && id < vocabulary, "eos_ids", "token ids of the vocabulary", id);
}

}  // namespace greentrainer
