#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

#include "greentrainer/generate/beam_search.hpp"
#include "greentrainer/generate/decoding_executor.hpp"
#include "greentrainer/generate/sequence_sampler.hpp"

namespace greentrainer {

/// Called with the number of each prompt and what was generated for it, as soon as that is known.
using OnGenerated = std::function<void(std::size_t, const Generated&)>;

/// Called with the number of each prompt and the next token of what follows it, as soon as that is known.
using OnToken = std::function<void(std::size_t, Index)>;

/// Generates text with a model: token ids for token ids. Works on `batch_size` prompts at a time, of any lengths and
/// without padding; a prompt that is done costs nothing from then on. Keeps its memory from call to call, and shares
/// the model, which may be moved meanwhile.
template <Backend B>
class Generator {
 public:
  /// Throws ConfigError for options that are out of range or contradict each other, and for a model whose head predicts
  /// no tokens.
  Generator(Model<B>& model, GenerateOptions options)
      : facts_(&model.facts()), prefix_(model.graph().prefix_rows()), options_(std::move(options)), executor_(model) {
    check_options(options_, facts_->vocabulary);
    if (facts_->numbers.targets > 0 || facts_->outputs() != facts_->vocabulary) {
      throw ConfigError("generate", "model",
                        text("expected one whose head predicts tokens, got one that predicts ", facts_->outputs(),
                             facts_->numbers.targets > 0 ? " numbers" : " classes"));
    }
  }

  /// Prompts are what a decoder-only model goes on with, or an encoder-decoder's sources. Throws DataError for prompts
  /// that the model cannot read, NumericalError for weights that give no numbers, and ConfigError for `on_token` with
  /// beams, whose tokens are known only at their end.
  std::vector<Generated> operator()(std::span<const std::vector<Index>> prompts, const OnGenerated& on_generated = {},
                                    const OnToken& on_token = {}) {
    if (on_token && options_.beams > 1)
      throw ConfigError("generate", "beams",
                        text("expected 1 where tokens are taken one by one, got ", options_.beams));
    for (std::size_t p = 0; p < prompts.size(); ++p) check_prompt(prompts[p], p);
    std::vector<Generated> results(prompts.size());
    const auto finished = [&](std::size_t number, Generated generated) {
      results[number] = std::move(generated);
      if (on_generated) on_generated(number, results[number]);
    };
    const auto size = static_cast<std::size_t>(options_.batch_size);
    for (std::size_t first = 0; first < prompts.size(); first += size) {
      const auto group = prompts.subspan(first, std::min(size, prompts.size() - first));
      if (options_.beams > 1)
        run<BeamSearch>(group, first, finished, on_token);
      else
        run<SequenceSampler>(group, first, finished, on_token);
    }
    return results;
  }

 private:
  /// A prompt that is worked on: its search, and the slots of the search's sequences.
  template <class Search>
  struct Open {
    std::size_t number;
    Search search;
    Index first_slot;
    std::vector<Index> slots;
  };

  template <class Search, class Finished>
  void run(std::span<const std::vector<Index>> prompts, std::size_t first, const Finished& finished,
           const OnToken& on_token) {
    PackedTokens given, started;
    std::vector<Open<Search>> open;
    for (const std::vector<Index>& prompt : prompts) {
      const auto slot = static_cast<Index>(static_cast<Extent>(open.size()) * options_.beams);
      const std::size_t number = first + open.size();
      given.append(prompt);
      if (facts_->target_shift) started.append({facts_->target_shift->start});
      const std::vector<Index> context = facts_->target_shift ? std::vector{facts_->target_shift->start} : prompt;
      open.push_back({number, Search(context, options_, number), slot, {slot}});
    }
    const typename DecodingExecutor<B>::Room room{.slots_a_prompt = options_.beams,
                                                  .steps = options_.max_new_tokens - 1};
    const auto* logits =
        facts_->target_shift ? &executor_.start(started, given, room) : &executor_.start(given, {}, room);
    while (true) {
      const auto vocabulary = static_cast<std::size_t>(facts_->vocabulary);
      std::size_t row = 0;
      for (auto& prompt : open) {
        const std::size_t rows = prompt.slots.size();
        prompt.search.advance(std::span(*logits).subspan(row * vocabulary, rows * vocabulary));
        row += rows;
        if (on_token) on_token(prompt.number, prompt.search.token(0));
        if (prompt.search.done())
          finished(prompt.number, prompt.search.result());
        else
          assign_slots(prompt);
      }
      std::erase_if(open, [](const auto& prompt) { return prompt.search.done(); });
      if (open.empty()) return;
      if constexpr (std::is_same_v<Search, SequenceSampler>) {
        if (goes_beyond(open)) {
          logits = &start_over(open, room);
          continue;
        }
      }
      std::vector<Index> slots, ids;
      for (const auto& prompt : open) {
        for (std::size_t i = 0; i < prompt.slots.size(); ++i) {
          slots.push_back(prompt.slots[i]);
          ids.push_back(prompt.search.token(i));
        }
      }
      logits = &executor_.step(slots, ids);
    }
  }

  /// Whether a sequence has just outgrown the original context: the keys of all its tokens are others from then on.
  bool goes_beyond(const std::vector<Open<SequenceSampler>>& open) const {
    return facts_->original_positions > 0 && std::ranges::any_of(open, [&](const auto& prompt) {
             return prefix_ + static_cast<Extent>(prompt.search.context().size()) == facts_->original_positions + 1;
           });
  }
  /// With what has been read and generated as prompts.
  const auto& start_over(std::vector<Open<SequenceSampler>>& open, typename DecodingExecutor<B>::Room room) {
    PackedTokens read;
    for (std::size_t i = 0; i < open.size(); ++i) {
      read.append(open[i].search.context());
      open[i].slots = {open[i].first_slot = static_cast<Index>(i)};
    }
    return executor_.start(read, {}, room);
  }

  /// A sequence that goes on in several ways stays where it is with the first of them; for the others it is copied to
  /// slots whose sequences do not go on.
  template <class Search>
  void assign_slots(Open<Search>& prompt) {
    constexpr Index none = -1;
    std::vector<Index> slots(prompt.search.sequences(), none);
    std::vector<bool> taken(static_cast<std::size_t>(options_.beams), false);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const Index from = prompt.slots[prompt.search.parent(i)];
      auto is_taken = taken[static_cast<std::size_t>(from - prompt.first_slot)];
      if (is_taken) continue;
      is_taken = true;
      slots[i] = from;
    }
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i] != none) continue;
      const auto free = std::find(taken.begin(), taken.end(), false);
      *free = true;
      slots[i] = prompt.first_slot + static_cast<Index>(free - taken.begin());
      executor_.copy_slot(prompt.slots[prompt.search.parent(i)], slots[i]);
    }
    prompt.slots = std::move(slots);
  }

  void check_prompt(const std::vector<Index>& prompt, std::size_t number) const {
    const std::string where = text("prompt ", number);
    if (prompt.empty()) throw DataError("generate", where, "expected at least one token, got none");
    // An encoder-decoder's new tokens have positions of their own; the last new token is not read again.
    const Extent beside = facts_->target_shift ? 0 : options_.max_new_tokens - 1,
                 read = std::max(static_cast<Extent>(prompt.size()) + beside, options_.max_new_tokens);
    if (read > facts_->max_positions) {
      throw DataError(
          "generate", where,
          text("expected at most ", facts_->max_positions, " tokens, the model's positions, got ", prompt.size(),
               " and ", options_.max_new_tokens, " new ones; shorten the prompt or generate less"));
    }
    const Extent original = facts_->original_positions - prefix_;
    if (options_.beams > 1 && facts_->original_positions > 0 && static_cast<Extent>(prompt.size()) <= original &&
        read > original) {
      throw DataError("generate", where,
                      text("expected beams to stay within the model's original context of ", original,
                           " tokens, or to begin beyond, got ", prompt.size(), " and ", options_.max_new_tokens,
                           " new ones; use one beam"));
    }
    for (const Index id : prompt) {
      if (id < 0 || id >= facts_->vocabulary)
        throw DataError("generate", text(where, ", token id"),
                        text("expected 0 to ", facts_->vocabulary - 1, ", got ", id));
    }
  }

  const ModelFacts* facts_;
  Extent prefix_;
  GenerateOptions options_;
  DecodingExecutor<B> executor_;
};

/// The same in one call.
template <Backend B>
std::vector<Generated> generate(Model<B>& model, std::span<const std::vector<Index>> prompts,
                                const GenerateOptions& options = {}) {
  return Generator<B>(model, options)(prompts);
}

}  // namespace greentrainer
