#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/source_and_target.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// Token ids of prompts and answers. Both are tokenised apart and joined, with BOS in front where the model's sequences
/// have it. A prompt that is too long loses the ends of its parts, the first part's first; BOS, EOS and answers are
/// never cut. For an encoder-decoder the prompt is what its encoder reads, with EOS behind it.
class PromptEncoder {
 public:
  struct Prompt {
    std::vector<Index> ids;
    bool truncated = false;
  };

  /// `max_tokens`: of prompt and answer together, or of an encoder-decoder's source. The tokenizer must outlive this.
  PromptEncoder(const Tokenizer& tokenizer, Extent max_tokens, std::optional<TargetOptions> target = {})
      : tokenizer_(&tokenizer), max_tokens_(max_tokens), target_(std::move(target)) {}

  /// What the model reads before it answers. It leaves room for `reserved` tokens, which an encoder-decoder does not
  /// need.
  Prompt prompt(const DatasetRow& row, Extent reserved) const {
    const bool own_source = target_ && !row.source.empty();
    return fit(own_source ? row.source : row.prompt,
               std::max<Extent>(0, target_ ? max_tokens_ : max_tokens_ - reserved));
  }

  /// The ids of an answer to the row, EOS behind it if it is `closed`.
  std::vector<Index> answer(const DatasetRow& row, const std::string& text, bool closed) const {
    std::vector<Index> ids = tokenizer_->encode(target_ ? text : row.lead + text);
    if (closed && tokenizer_->eos_id()) ids.push_back(*tokenizer_->eos_id());
    return ids;
  }

  /// An example with loss on the answer alone.
  Example joined(const Prompt& prompt, const std::vector<Index>& answer) const {
    if (target_) return encoder_decoder_example(prompt.ids, answer, target_->shift);
    Example example{
        .input_ids = prompt.ids, .labels = std::vector<Index>(prompt.ids.size(), ignore_label), .source_ids = {}};
    example.input_ids.insert(example.input_ids.end(), answer.begin(), answer.end());
    example.labels.insert(example.labels.end(), answer.begin(), answer.end());
    return example;
  }

  /// The example to train on. Nothing where the answer alone does not fit, or prompt and answer have no token.
  std::optional<Example> example(const DatasetRow& row, const std::string& text, bool& truncated) const {
    const std::vector<Index> ids = answer(row, text, true);
    const auto length = static_cast<Extent>(ids.size());
    if (length > (target_ ? target_->max_tokens : max_tokens_)) return std::nullopt;
    const Prompt before = prompt(row, length);
    if (!target_ && static_cast<Extent>(before.ids.size()) + length > max_tokens_) return std::nullopt;  // for BOS
    if (before.ids.empty() && ids.empty()) return std::nullopt;
    truncated = before.truncated;
    return joined(before, ids);
  }

 private:
  /// Ids that are cut together, or not at all.
  struct Segment {
    std::vector<Index> ids;
    int cut_in_round = 0;  ///< 0: never
  };

  /// `apart`: the ends that stay are tokenised on their own.
  std::vector<Segment> segments_of(const std::vector<DatasetRow::Part>& parts, bool apart) const {
    std::vector<Segment> segments;
    if (!target_ && tokenizer_->adds_bos()) segments.push_back({{*tokenizer_->bos_id()}});
    for (const DatasetRow::Part& part : parts) {
      const std::string_view text = part.text;
      const std::size_t kept = apart ? part.kept : 0;
      segments.push_back({tokenizer_->encode(text.substr(0, text.size() - kept)), 1});
      if (kept > 0) segments.push_back({tokenizer_->encode(text.substr(text.size() - kept)), 2});
      if (part.separated && tokenizer_->eos_id()) segments.push_back({{*tokenizer_->eos_id()}});
    }
    if (target_ && tokenizer_->eos_id()) segments.push_back({{*tokenizer_->eos_id()}});
    return segments;
  }

  Prompt fit(const std::vector<DatasetRow::Part>& parts, Extent room) const {
    const auto excess_of = [&](const std::vector<Segment>& segments) {
      Extent total = 0;
      for (const Segment& segment : segments) total += static_cast<Extent>(segment.ids.size());
      return total - room;
    };
    Prompt prompt;
    std::vector<Segment> segments = segments_of(parts, false);
    if (excess_of(segments) > 0) {
      prompt.truncated = true;
      segments = segments_of(parts, true);
      Extent excess = excess_of(segments);
      for (const int round : {1, 2}) {
        for (Segment& segment : segments) {
          if (segment.cut_in_round != round || excess <= 0) continue;
          const Extent removed = std::min(excess, static_cast<Extent>(segment.ids.size()));
          segment.ids.resize(segment.ids.size() - static_cast<std::size_t>(removed));
          excess -= removed;
        }
      }
    }
    for (const Segment& segment : segments) prompt.ids.insert(prompt.ids.end(), segment.ids.begin(), segment.ids.end());
    return prompt;
  }

  const Tokenizer* tokenizer_;
  Extent max_tokens_;
  std::optional<TargetOptions> target_;
};

}  // namespace greentrainer
