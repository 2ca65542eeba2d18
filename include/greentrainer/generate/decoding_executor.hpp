#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "greentrainer/executor/executor.hpp"
#include "greentrainer/generate/decoding_plan.hpp"
#include "greentrainer/generate/key_value_cache.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer {

/// Generates token by token: prompts as a whole, then for each sequence one token more a step, of which attention reads
/// the earlier ones from a cache. What depends on a source alone (an encoder, the keys and values of cross-attention)
/// runs once for it. Sequences live in slots; prompt p has the slots from p * slots_a_prompt on, which share its
/// source. Not thread-safe.
template <Backend B>
class DecodingExecutor : private PassMemory<B> {
 public:
  using T = typename B::Scalar;

  struct Room {
    Extent slots_a_prompt = 1;
    Extent steps = 0;  ///< how often step() may be called
  };

  /// Shares the model, which may be moved meanwhile.
  explicit DecodingExecutor(Model<B>& model)
      : model_(model.share()),
        backend_(&model.backend()),
        graph_(&model.graph()),
        prefix_(graph_->prefix_rows()),
        vocabulary_(model.facts().vocabulary),
        plan_(make_decoding_plan(*graph_)),
        prompt_pass_(make_schedule(*graph_, plan_.prompt)),
        token_pass_(make_schedule(*graph_, plan_.token)),
        executor_(*backend_, *graph_, model.parameters()),
        cache_(*backend_, widths(*graph_, plan_.cached)),
        indices_(*backend_),
        from_source_(plan_.from_source.size()) {}

  /// Starts over: runs the prompts and, for an encoder-decoder, their sources. Every slot of a prompt then holds it.
  /// Returns the logits of each prompt's last token, (prompts, vocabulary) on the host, until the next call.
  const std::vector<T>& start(const PackedTokens& prompts, const PackedTokens& sources, Room room) {
    Batch batch{.decoder = prompts, .encoder = sources, .label_rows = {}, .labels = {}};
    std::vector<Extent> lengths;
    for (std::size_t p = 0; p + 1 < prompts.offsets.size(); ++p) {
      lengths.push_back(prefix_ + prompts.offsets[p + 1] - prompts.offsets[p]);
      batch.label_rows.push_back(prompts.offsets[p + 1] - 1);
    }
    cache_.start(std::move(lengths), room.slots_a_prompt, room.steps);
    slots_a_prompt_ = room.slots_a_prompt;
    source_offsets_ = sources.offsets;
    longest_source_ = longest_sequence(sources);

    making_prompts_ = true;

    indices_.clear();
    const Place decoder = place(prompts.ids, positions_behind_prefix(prompts.positions, prefix_), prompts.offsets);
    const Place encoder = place(sources.ids, sources.positions, sources.offsets);
    const PackedTokens last_tokens = tokens_at(prompts, batch.label_rows);
    const Place last =
        place(last_tokens.ids, positions_behind_prefix(last_tokens.positions, prefix_), last_tokens.offsets);
    const std::size_t key_offsets = indices_.place(offsets_with_prefix(prompts.offsets, prefix_));
    const std::size_t last_rows = indices_.place(batch.label_rows);
    indices_.upload();
    DeviceBatch device;
    device.decoder = packed_tokens(decoder, prompts.sequences(), prompts.tokens(), longest_sequence(prompts));
    device.decoder.keys =
        SequenceView::packed(indices_[key_offsets], prompts.sequences(), prefix_ + longest_sequence(prompts));
    device.decoder.offsets = prompts.offsets;
    device.decoder.prefix = prefix_;
    device.encoder = packed_tokens(encoder, sources.sequences(), sources.tokens(), longest_source_);
    device.labelled = packed_tokens(last, prompts.sequences(), prompts.sequences(), 1);
    device.labelled.keys = device.decoder.keys;
    device.label_rows = indices_[last_rows];
    const auto all = extents_of(prompts, prompts, prefix_), of_last = extents_of(last_tokens, prompts, prefix_),
               of_sources = extents_of(sources, sources, 0);
    device.decoder.extents = all;
    device.labelled.extents = of_last;
    device.encoder.extents = of_sources;
    run(prompt_pass_, device, workload_of(batch, graph_->window()));
    return logits_on_host(device.labelled.tokens);
  }

  /// Adds token ids[i] to the sequence in slots[i]: a slot occurs once, and one that is left out is not to come back.
  /// Returns the logits behind these tokens, (slots, vocabulary) on the host, until the next call. Throws ShapeError
  /// where there is no room left, and for a sequence that outgrows ModelFacts::original_positions: start over with it.
  const std::vector<T>& step(std::span<const Index> slots, std::span<const Index> ids) {
    if (slots.size() != ids.size() || cache_.new_rows_left() < 1) {
      throw ShapeError("DecodingExecutor::step", "tokens",
                       text("expected one for each of ", slots.size(), " slots and room for it, got ", ids.size(),
                            " tokens and room for ", cache_.new_rows_left()));
    }
    expect_same_rotary(slots);
    const auto rows = static_cast<Extent>(slots.size());
    std::vector<SequenceExtent> extents;
    std::vector<Index> positions, offsets = {0}, begins, ends, source_begins, source_ends,
                                  row_of_slot(static_cast<std::size_t>(cache_.slots()), 0);
    Extent longest = 0;
    cache_.add_row();
    for (const Index slot : slots) {
      positions.push_back(static_cast<Index>(cache_.length(slot) - 1));
      begins.push_back(cache_.begin(slot));
      ends.push_back(cache_.end(slot));
      extents.push_back({.rows = 1, .length = cache_.length(slot)});
      longest = std::max(longest, cache_.length(slot));
      row_of_slot[static_cast<std::size_t>(slot)] = offsets.back();
      offsets.push_back(offsets.back() + 1);
      if (from_source_.empty()) continue;
      const auto source = static_cast<std::size_t>(slot / slots_a_prompt_);
      source_begins.push_back(source_offsets_[source]);
      source_ends.push_back(source_offsets_[source + 1]);
    }
    making_prompts_ = false;

    indices_.clear();
    const Place decoder = place(ids, positions, offsets);
    const std::size_t cache_begins = indices_.place(begins), cache_ends = indices_.place(ends),
                      rows_of_slots = indices_.place(row_of_slot);
    const std::size_t encoder_begins = indices_.place(source_begins), encoder_ends = indices_.place(source_ends);
    indices_.upload();
    DeviceBatch device;
    device.decoder = packed_tokens(decoder, rows, rows, 1);
    device.decoder.extents = extents;
    device.decoder.keys = {
        .begins = indices_[cache_begins], .ends = indices_[cache_ends], .count = rows, .max_length = longest};
    device.encoder.sequences = {.begins = indices_[encoder_begins],
                                .ends = indices_[encoder_ends],
                                .count = rows,
                                .max_length = longest_source_};
    device.encoder.keys = device.encoder.sequences;
    device.labelled = device.decoder;
    device.label_rows = indices_[decoder.offsets];  // 0, 1, ...: every row is read
    rows_of_slots_ = indices_[rows_of_slots];
    run(token_pass_, device, step_workload(rows));
    return logits_on_host(rows);
  }

  /// The sequence in slot `to` becomes the one in slot `from`, which has the same prompt.
  void copy_slot(Index from, Index to) { cache_.copy_new_rows(from, to); }

 private:
  /// The keys of what outgrows the original context are others from then on.
  void expect_same_rotary(std::span<const Index> slots) const {
    const Extent original = model_.facts().original_positions;
    for (const Index slot : slots) {
      if (original == 0 || cache_.length(slot) != original) continue;
      throw ShapeError("DecodingExecutor::step", text("slot ", slot),
                       text("expected a sequence within the original context of ", original,
                            " tokens, or begun beyond it, got one that outgrows it; start over with it as a prompt"));
    }
  }

  struct Place {
    std::size_t ids, positions, offsets;
  };

  static std::vector<Extent> widths(const TensorGraph<B>& graph, const std::vector<ValueId>& values) {
    std::vector<Extent> all;
    for (const ValueId v : values) all.push_back(graph.value(v).shape.cols);
    return all;
  }

  Place place(std::span<const Index> ids, std::span<const Index> positions, std::span<const Index> offsets) {
    return {indices_.place(ids), indices_.place(positions), indices_.place(offsets)};
  }
  DeviceTokens packed_tokens(const Place& p, Extent sequences, Extent tokens, Extent longest) const {
    const auto view = SequenceView::packed(indices_[p.offsets], sequences, longest);
    return {
        .ids = indices_[p.ids], .positions = indices_[p.positions], .sequences = view, .keys = view, .tokens = tokens};
  }

  /// Of a step of so many rows, with as many pairs as the last one can have: steps of equally many rows then share a
  /// layout.
  Workload step_workload(Extent rows) const {
    Workload workload;
    workload[Measure::steps] = 1;
    for (const Measure m : {Measure::decoder_sequences, Measure::decoder_tokens, Measure::labelled_tokens})
      workload[m] = rows;
    for (const Measure m : {Measure::decoder_pairs, Measure::labelled_pairs}) workload[m] = rows * cache_.room();
    workload.window = graph_->window();
    for (const Measure m : {Measure::window_pairs, Measure::labelled_window_pairs})
      workload[m] = rows * std::min(cache_.room(), workload.window);
    for (const Measure m : {Measure::cross_pairs, Measure::labelled_cross_pairs}) workload[m] = rows * longest_source_;
    return workload;
  }

  Matrix<T> given(ValueId value) override {
    const auto found = std::find(plan_.from_source.begin(), plan_.from_source.end(), value);
    return from_source_[static_cast<std::size_t>(found - plan_.from_source.begin())].matrix();
  }
  void take(ValueId value, Matrix<const T> computed) override {
    const int cached = plan_.cache_of_value[static_cast<std::size_t>(value)];
    if (cached != DecodingPlan::nothing && making_prompts_) {
      cache_.store_prompts(static_cast<std::size_t>(cached), computed);
    } else if (cached != DecodingPlan::nothing) {
      cache_.store_new_rows(static_cast<std::size_t>(cached), computed, rows_of_slots_);
    } else {
      const auto found = std::find(plan_.from_source.begin(), plan_.from_source.end(), value);
      Tensor<B>& kept = from_source_[static_cast<std::size_t>(found - plan_.from_source.begin())];
      if (kept.rows() != computed.rows) kept = Tensor<B>(*backend_, computed.rows, computed.cols);
      backend_->copy(kept.data(), computed.data, kept.bytes());
    }
  }
  Matrix<T> remembered(ValueId value) override {
    return cache_.rows(static_cast<std::size_t>(plan_.cache_of_value[static_cast<std::size_t>(value)]));
  }

  void run(const Schedule& schedule, const DeviceBatch& batch, const Workload& workload) {
    executor_.run(schedule, batch, workload, {.logits = logits(batch.labelled.tokens), .memory = this});
  }

  Matrix<T> logits(Extent rows) {
    if (logits_.size() < rows * vocabulary_) logits_ = Tensor<B>(*backend_, 1, rows * vocabulary_);
    return {logits_.data(), rows, vocabulary_};
  }
  const std::vector<T>& logits_on_host(Extent rows) {
    const Matrix<T> computed = logits(rows);
    host_logits_.resize(static_cast<std::size_t>(computed.size()));
    if (rows > 0)
      backend_->copy_to_host(host_logits_.data(), computed.data, computed.size() * static_cast<Bytes>(sizeof(T)));
    return host_logits_;
  }

  Model<B> model_;
  B* backend_;
  const TensorGraph<B>* graph_;
  Extent prefix_;  ///< learned rows in front of each sequence's keys and values: a slot begins with them
  Extent vocabulary_;
  DecodingPlan plan_;
  Schedule prompt_pass_, token_pass_;
  Executor<B> executor_;
  KeyValueCache<B> cache_;
  IndexBlock<B> indices_;
  std::vector<Tensor<B>> from_source_;    ///< of the plan's values from the source
  bool making_prompts_ = false;           ///< the pass that runs is of prompts, not of tokens
  const Index* rows_of_slots_ = nullptr;  ///< of the token pass that runs
  std::vector<Index> source_offsets_;
  Extent longest_source_ = 0;
  Extent slots_a_prompt_ = 1;
  Tensor<B> logits_;
  std::vector<T> host_logits_;
};

}  // namespace greentrainer
