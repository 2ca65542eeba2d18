#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// What attention remembers of sequences that grow: a tensor for each value that is remembered, in which slot s owns
/// the rows [s, s + 1) * room. All prompts end at the same row of their slots, a shorter one begins later: so the new
/// rows of all slots are equally far apart, and one kernel call writes them.
template <Backend B>
class KeyValueCache {
 public:
  using T = typename B::Scalar;

  /// `widths`: columns of the values that are remembered.
  KeyValueCache(B& backend, std::vector<Extent> widths)
      : backend_(&backend), widths_(std::move(widths)), tensors_(widths_.size()) {}

  /// Starts over with empty slots that have room for prompts of these lengths, `slots_a_prompt` for each, and for new
  /// tokens behind them. Throws ConfigError for more rows than an Index can number, BackendError if there is no memory
  /// for them.
  void start(std::vector<Extent> prompt_lengths, Extent slots_a_prompt, Extent new_tokens) {
    prompt_lengths_ = std::move(prompt_lengths);
    slots_a_prompt_ = slots_a_prompt;
    new_tokens_ = new_tokens;
    longest_ = prompt_lengths_.empty() ? 0 : *std::max_element(prompt_lengths_.begin(), prompt_lengths_.end());
    steps_ = 0;
    if (slots() * room() > std::numeric_limits<Index>::max()) {
      throw ConfigError("KeyValueCache", "rows",
                        text("expected at most ", std::numeric_limits<Index>::max(), ", got ", slots(),
                             " sequences of ", room(), " tokens; use a smaller batch"));
    }
    for (std::size_t v = 0; v < tensors_.size(); ++v) {
      const Extent needed = slots() * room() * widths_[v];
      if (tensors_[v].size() >= needed) continue;
      tensors_[v] = {};  // free before asking for more
      tensors_[v] = Tensor<B>(*backend_, 1, needed);
    }
  }

  Extent slots() const { return static_cast<Extent>(prompt_lengths_.size()) * slots_a_prompt_; }
  /// Rows of a slot.
  Extent room() const { return longest_ + new_tokens_; }
  Extent new_rows_left() const { return new_tokens_ - steps_; }
  /// The rows of a slot's sequence, up to those of this step: they follow each other.
  Extent length(Extent slot) const { return prompt_length(slot) + steps_; }
  Index begin(Extent slot) const { return static_cast<Index>(slot * room() + longest_ - prompt_length(slot)); }
  Index end(Extent slot) const { return begin(slot) + static_cast<Index>(length(slot)); }
  /// All rows of a value.
  Matrix<T> rows(std::size_t value) const { return {tensors_[value].data(), slots() * room(), widths_[value]}; }

  /// Fills all slots of each prompt from the prompts' packed rows, (sum of the prompt lengths, width).
  void store_prompts(std::size_t value, Matrix<const T> packed) {
    Extent row = 0;
    for (Extent p = 0; p < static_cast<Extent>(prompt_lengths_.size()); ++p) {
      const Extent length = prompt_lengths_[static_cast<std::size_t>(p)];
      for (Extent slot = p * slots_a_prompt_; slot < (p + 1) * slots_a_prompt_; ++slot) {
        backend_->copy(at(value, begin(slot)), packed.rows_from(row, length).data,
                       length * widths_[value] * static_cast<Bytes>(sizeof(T)));
      }
      row += length;
    }
  }

  /// Makes room for one more row in every slot. Requires new_rows_left() > 0.
  void add_row() { ++steps_; }
  /// Fills the newest row of each slot s with row row_of_slot[s] of `x`; `row_of_slot` lies in the backend's memory.
  /// Slots that are not in use any more take any row.
  void store_new_rows(std::size_t value, Matrix<const T> x, const Index* row_of_slot) {
    const Extent width = widths_[value];
    backend_->embedding_forward(x, row_of_slot,
                                Matrix<T>(at(value, longest_ + steps_ - 1), slots(), width, room() * width));
  }

  /// Slot `to` takes over the new rows of slot `from`, which has the same prompt.
  void copy_new_rows(Extent from, Extent to) {
    if (steps_ == 0) return;
    for (std::size_t v = 0; v < tensors_.size(); ++v) {
      backend_->copy(at(v, to * room() + longest_), at(v, from * room() + longest_),
                     steps_ * widths_[v] * static_cast<Bytes>(sizeof(T)));
    }
  }

 private:
  T* at(std::size_t value, Extent row) const { return tensors_[value].data() + row * widths_[value]; }
  Extent prompt_length(Extent slot) const { return prompt_lengths_[static_cast<std::size_t>(slot / slots_a_prompt_)]; }

  B* backend_;
  std::vector<Extent> widths_;
  std::vector<Tensor<B>> tensors_;
  std::vector<Extent> prompt_lengths_;
  Extent slots_a_prompt_ = 1;
  Extent new_tokens_ = 0;
  Extent longest_ = 0;
  Extent steps_ = 0;
};

}  // namespace greentrainer
