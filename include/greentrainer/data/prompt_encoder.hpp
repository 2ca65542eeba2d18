#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/source_and_target.hpp"
#include "greentrainer/data/text_stretches.hpp"
#include "greentrainer/data/truncation.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// Token ids of prompts and answers. For a decoder-only model both are one text, tokenised as a whole and split where
/// the prompt ends: a token over the border is the answer's, and the prompt's ids are those that it also has alone (as
/// in TRL). BOS goes in front where the model's sequences have it, EOS behind the answer, each unless it is there. What
/// is too long is cut as ids, or in whole parts where a row says so. An encoder-decoder's prompt and answer are two
/// texts, each with EOS behind it.
class PromptEncoder {
 public:
  struct Prompt {
    std::vector<Index> ids;
    bool truncated = false;
  };
  /// A prompt with several answers to compare.
  struct Candidates {
    Prompt prompt;
    std::vector<std::vector<Index>> answers;
  };

  /// `max_tokens`: of prompt and answer together, or of an encoder-decoder's source; 0: any number. The tokenizer must
  /// outlive this.
  PromptEncoder(const Tokenizer& tokenizer, Extent max_tokens, Truncation truncation = Truncation::turns,
                std::optional<TargetOptions> target = {})
      : tokenizer_(&tokenizer),
        max_tokens_(max_tokens > 0 ? max_tokens : std::numeric_limits<Extent>::max()),
        truncation_(truncation),
        target_(target) {}

  /// What the model reads before it answers. It leaves room for `reserved` tokens, which an encoder-decoder does not
  /// need. Throws DataError where it would have to be cut and may not.
  Prompt prompt(const DatasetRow& row, Extent reserved) const {
    const Extent room = room_beside(reserved);
    DatasetRow less = row;
    for (const SharedText& text : row.shorter) {
      std::vector<Segment> segments = encode(text_of(less)).prompt;
      const auto size = static_cast<Extent>(size_of(segments));
      if (size <= room || truncation_ == Truncation::refuse) return fit(less, std::move(segments), room);
      less.prompt.front().text = text;
    }
    Prompt prompt = fit(less, encode(text_of(less)).prompt, room);
    prompt.truncated = prompt.truncated || !row.shorter.empty();
    return prompt;
  }

  /// The answers alone carry loss, and none has an EOS added: they go on from the same ids, those that the prompt has
  /// with each of them. Throws DataError for an answer without tokens, and where prompt and answer do not fit.
  Candidates candidates(const DatasetRow& row, const std::vector<std::string>& answers) const {
    std::vector<Joint> joints;
    std::size_t shared = std::numeric_limits<std::size_t>::max(), longest = 0;
    for (const std::string& answer : answers) {
      joints.push_back(join(row, answer, false));
      shared = std::min(shared, size_of(joints.back().prompt));
    }
    Candidates result;
    for (std::size_t i = 0; i < joints.size(); ++i) {
      keep_in_prompt(shared, joints[i]);  // each is a start of the prompt alone, so the shortest is a start of all
      if (joints[i].answer.empty())
        throw DataError("data", text("candidate \"", answers[i], "\""), "expected tokens, got none");
      longest = std::max(longest, joints[i].answer.size());
      result.answers.push_back(std::move(joints[i].answer));
    }
    const auto reserved = static_cast<Extent>(longest);
    result.prompt = fit(row, std::move(joints.front().prompt), room_beside(reserved));
    const Extent needed = static_cast<Extent>(result.prompt.ids.size()) + reserved;
    if (result.prompt.ids.empty() || (!target_ && needed > max_tokens_)) {
      throw DataError("data", "candidates",
                      text("expected a prompt and at most ", max_tokens_, " tokens with it, got ", needed));
    }
    return result;
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

  /// The example to train on. Nothing where the answer alone does not fit, or prompt and answer have no token. Throws
  /// DataError where something would have to be cut and may not.
  std::optional<Example> example(const DatasetRow& row, const std::string& text, bool& truncated) const {
    Joint joint = join(row, text, true);
    const auto length = static_cast<Extent>(joint.answer.size());
    const Extent limit = target_ ? target_->max_tokens : max_tokens_;
    if (length > limit && truncation_ == Truncation::refuse) refuse_to_cut("completion", limit, length);
    if (length > limit) return std::nullopt;
    Prompt before = fit(row, std::move(joint.prompt), room_beside(length));
    if (!target_ && static_cast<Extent>(before.ids.size()) + length > max_tokens_) return std::nullopt;  // for BOS
    if (before.ids.empty() && joint.answer.empty()) return std::nullopt;
    truncated = before.truncated;
    return joined(before, joint.answer);
  }

 private:
  /// When ids are cut: tokens of a part's beginning first, then those of what it keeps longest.
  enum class Round { never, beginning, kept };

  /// Ids that are cut together, or not at all.
  struct Segment {
    std::vector<Index> ids;
    Round cut_in = Round::never;
  };
  struct Joint {
    std::vector<Segment> prompt;
    std::vector<Index> answer;
  };

  static std::size_t size_of(const std::vector<Segment>& segments) {
    std::size_t size = 0;
    for (const Segment& segment : segments) size += segment.ids.size();
    return size;
  }

  static std::vector<Index> ids_of(const std::vector<Segment>& segments) {
    std::vector<Index> ids;
    for (const Segment& segment : segments) ids.insert(ids.end(), segment.ids.begin(), segment.ids.end());
    return ids;
  }

  Extent room_beside(Extent reserved) const {
    return target_ ? max_tokens_ : std::max<Extent>(0, max_tokens_ - reserved);
  }

  /// The prompt as stretches of text, and the round in which each is cut. EOS separates parts as the text that it is.
  struct PromptText {
    std::vector<TextStretch> stretches;
    std::vector<Round> rounds;
  };
  PromptText text_of(const DatasetRow& row) const {
    PromptText result;
    const auto add = [&](std::string_view text, Round round) {
      result.stretches.push_back({std::string(text), false});
      result.rounds.push_back(round);
    };
    for (const DatasetRow::Part& part : target_ && !row.source.empty() ? row.source : row.prompt) {
      const std::string_view text = part.text;
      if (part.is_cut) {
        add(text.substr(0, text.size() - part.kept), Round::beginning);
        add(text.substr(text.size() - part.kept), Round::kept);
      } else {
        add(text, Round::never);
      }
      if (part.separated && tokenizer_->eos_id()) add(tokenizer_->token(*tokenizer_->eos_id()), Round::never);
    }
    return result;
  }

  /// A stretch behind those that have a round is the answer.
  Joint encode(const PromptText& text) const {
    std::vector<std::vector<Index>> ids = tokenize_stretches(*tokenizer_, text.stretches);
    Joint joint;
    for (std::size_t i = 0; i < text.rounds.size(); ++i) joint.prompt.push_back({std::move(ids[i]), text.rounds[i]});
    if (ids.size() > text.rounds.size()) joint.answer = std::move(ids.back());
    return joint;
  }

  /// `closed`: with EOS behind the answer.
  Joint join(const DatasetRow& row, const std::string& answer, bool closed) const {
    PromptText whole = text_of(row);
    Joint joint;
    if (target_) {
      joint = encode(whole);
      joint.answer = tokenizer_->encode(answer);
    } else {
      std::string alone;
      for (const TextStretch& stretch : whole.stretches) alone += stretch.text;
      whole.stretches.push_back({row.lead + answer, true});
      joint = encode(whole);
      const std::vector<Index> ids = ids_of(joint.prompt), ids_alone = tokenizer_->encode(alone);
      const auto same = std::mismatch(ids.begin(), ids.end(), ids_alone.begin(), ids_alone.end()).first;
      keep_in_prompt(static_cast<std::size_t>(same - ids.begin()), joint);
    }
    if (closed) append_eos(joint.answer);
    return joint;
  }

  /// Moves what the prompt has beyond so many ids to the answer.
  static void keep_in_prompt(std::size_t count, Joint& joint) {
    std::size_t excess = size_of(joint.prompt) - count;
    for (auto segment = joint.prompt.rbegin(); segment != joint.prompt.rend() && excess > 0; ++segment) {
      const std::size_t moved = std::min(excess, segment->ids.size());
      const auto first = segment->ids.end() - static_cast<std::ptrdiff_t>(moved);
      joint.answer.insert(joint.answer.begin(), first, segment->ids.end());
      segment->ids.erase(first, segment->ids.end());
      excess -= moved;
    }
  }

  void append_eos(std::vector<Index>& ids) const {
    if (tokenizer_->eos_id() && (ids.empty() || ids.back() != *tokenizer_->eos_id()))
      ids.push_back(*tokenizer_->eos_id());
  }

  Prompt fit(const DatasetRow& row, std::vector<Segment> segments, Extent room) const {
    if (!row.is_rendered) add_ends(segments);
    Prompt prompt;
    Extent excess = static_cast<Extent>(size_of(segments)) - room;
    if (excess > 0 && truncation_ == Truncation::refuse) refuse_to_cut("prompt", room, room + excess);
    prompt.truncated = excess > 0;
    for (const Round round : {Round::beginning, Round::kept}) {
      for (Segment& segment : segments) {
        if (segment.cut_in != round || excess <= 0) continue;
        const auto size = static_cast<Extent>(segment.ids.size());
        const Extent removed = std::min(excess, size);
        const auto begin = segment.ids.begin(), end = segment.ids.end();
        if (truncation_ == Truncation::turns && !target_)
          segment.ids.erase(begin, begin + removed);
        else
          segment.ids.erase(end - removed, end);
        excess -= removed;
      }
    }
    const bool by_tokens =
        std::any_of(segments.begin(), segments.end(), [](const Segment& s) { return s.cut_in >= Round::beginning; });
    if (excess > 0 && !by_tokens && !segments.empty()) {
      throw DataError("data", "prompt",
                      text("expected at most ", room, " tokens of what is never cut, got ", room + excess,
                           "; allow more (max_tokens)"));
    }
    prompt.ids = ids_of(segments);
    return prompt;
  }

  /// BOS in front, or EOS behind an encoder-decoder's source, as segments of their own.
  void add_ends(std::vector<Segment>& segments) const {
    const std::vector<Index> ids = ids_of(segments);
    if (target_) {
      const std::optional<Index> eos = tokenizer_->eos_id();
      if (eos && (ids.empty() || ids.back() != *eos)) segments.push_back({{*eos}});
    } else if (tokenizer_->adds_bos() && (ids.empty() || ids.front() != *tokenizer_->bos_id())) {
      segments.insert(segments.begin(), Segment{{*tokenizer_->bos_id()}});
    }
  }

  const Tokenizer* tokenizer_;
  Extent max_tokens_;
  Truncation truncation_;
  std::optional<TargetOptions> target_;
};

}  // namespace greentrainer
