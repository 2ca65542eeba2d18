#pragma once

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/executor/pass_memory.hpp"
#include "greentrainer/graph/cut.hpp"

namespace greentrainer {

/// First rows of each sequence of a batch, and the end, in values with rows of a kind.
inline std::vector<Extent> row_offsets(const Batch& batch, Rows rows) {
  const auto& offsets = rows == Rows::encoder_tokens ? batch.encoder.offsets : batch.decoder.offsets;
  std::vector<Extent> result(offsets.begin(), offsets.end());
  if (rows != Rows::labelled_tokens) return result;
  for (Extent& offset : result) {
    const auto first = std::lower_bound(batch.label_rows.begin(), batch.label_rows.end(), static_cast<Index>(offset));
    offset = first - batch.label_rows.begin();
  }
  return result;
}

/// The values at a cut, for the examples that were seen since it was made: as long as nothing below the cut is trained,
/// the part of the model below it need not run again for these. Examples that do not fit are computed each time.
///
/// A batch is read in two passes: the one below the cut, for the examples that are not kept, hands its values to this;
/// the one above is given those of all examples, in the batch's order.
template <Backend B>
class PrefixCache final : public PassMemory<B> {
 public:
  using T = typename B::Scalar;

  PrefixCache(B& backend, const TensorGraph<B>& graph) : backend_(&backend), graph_(&graph) {}

  /// Keeps values at this cut from now on, of at most `limit` bytes. What is kept stays if the cut is the same.
  void use(Cut cut, Bytes limit) {
    if (cut_ != cut) clear();
    cut_ = std::move(cut);
    limit_ = limit;
    staged_.resize(cut_->values.size());
  }
  /// Forgets everything: the weights below the cut, or the examples, are others.
  void clear() {
    cut_.reset();
    kept_.clear();
    pending_.clear();
    staged_.clear();
    bytes_ = 0;
  }

  const std::optional<Cut>& cut() const { return cut_; }
  bool holds(std::size_t example) const { return kept_.contains(example); }
  Bytes bytes() const { return bytes_; }
  /// Of the copy that a batch reads.
  Bytes staged_bytes() const {
    return std::accumulate(staged_.begin(), staged_.end(), Bytes{0},
                           [](Bytes sum, const auto& tensor) { return sum + tensor.bytes(); });
  }

  /// Bytes of an example's values at a cut.
  static Bytes example_bytes(const TensorGraph<B>& graph, const Cut& cut, const Workload& example) {
    Bytes total = 0;
    for (const ValueId v : cut.values) {
      const ValueShape& shape = graph.value(v).shape;
      total += shape.cols * shape.row_count(example) * static_cast<Bytes>(sizeof(T));
    }
    return total;
  }

  /// Prepares for the passes of a batch: `examples` are the numbers of its sequences. Brings what is kept; what is not
  /// kept is taken from a pass over the batch's sequences `computed`, ascending.
  void begin(const Batch& batch, std::span<const std::size_t> examples, std::vector<std::size_t> computed) {
    examples_ = examples;
    computed_ = std::move(computed);
    for (std::size_t i = 0; i < cut_->values.size(); ++i) {
      const ValueShape& shape = graph_->value(cut_->values[i]).shape;
      const std::vector<Extent> rows = row_offsets(batch, shape.rows);
      if (staged_[i].tensor.size() < rows.back() * shape.cols) {
        staged_[i].tensor = {};  // free before asking for more
        staged_[i].tensor = Tensor<B>(*backend_, 1, rows.back() * shape.cols);
      }
      staged_[i].rows = rows;
      for (std::size_t s = 0; s < examples.size(); ++s) {
        const auto found = kept_.find(examples[s]);
        if (found != kept_.end()) copy(staged_rows(i, s), found->second[i].matrix());
      }
    }
    add_pending();
  }
  /// The pass below the cut is over: what it computed is kept, as far as the limit goes.
  void commit() {
    for (auto& [example, tensors] : pending_) {
      for (const auto& tensor : tensors) bytes_ += tensor.bytes();
      kept_.emplace(example, std::move(tensors));
    }
    pending_.clear();
  }

  Matrix<T> given(ValueId value) override {
    const std::size_t i = index_of(value);
    return {staged_[i].tensor.data(), staged_[i].rows.back(), graph_->value(value).shape.cols};
  }
  void take(ValueId value, Matrix<const T> computed) override {
    const std::size_t i = index_of(value);
    Extent first = 0;
    for (const std::size_t s : computed_) {
      const Matrix<T> target = staged_rows(i, s);
      const Matrix<const T> rows = computed.rows_from(first, target.rows);
      copy(target, rows);
      const auto found = pending_.find(examples_[s]);
      if (found != pending_.end()) copy(found->second[i].matrix(), rows);
      first += target.rows;
    }
  }
  Matrix<T> remembered(ValueId) override { return {}; }

 private:
  /// One value of the batch that is read.
  struct Staged {
    Tensor<B> tensor;
    std::vector<Extent> rows;  ///< first row of each sequence, and the end

    Bytes bytes() const { return tensor.bytes(); }
  };

  std::size_t index_of(ValueId value) const {
    return static_cast<std::size_t>(std::find(cut_->values.begin(), cut_->values.end(), value) - cut_->values.begin());
  }
  Matrix<T> staged_rows(std::size_t i, std::size_t sequence) const {
    const Extent cols = graph_->value(cut_->values[i]).shape.cols;
    const auto& rows = staged_[i].rows;
    return {staged_[i].tensor.data() + rows[sequence] * cols, rows[sequence + 1] - rows[sequence], cols};
  }
  void copy(Matrix<T> to, Matrix<const T> from) const {
    backend_->copy(to.data, from.data, to.size() * static_cast<Bytes>(sizeof(T)));
  }

  /// Memory for the examples that are about to be computed, as far as the limit goes.
  void add_pending() {
    pending_.clear();
    Bytes total = bytes_;
    for (const std::size_t s : computed_) {
      Bytes needed = 0;
      for (std::size_t i = 0; i < staged_.size(); ++i)
        needed += staged_rows(i, s).size() * static_cast<Bytes>(sizeof(T));
      if (total + needed > limit_ || pending_.contains(examples_[s])) continue;
      total += needed;
      std::vector<Tensor<B>>& tensors = pending_[examples_[s]];
      for (std::size_t i = 0; i < staged_.size(); ++i) {
        const Matrix<T> rows = staged_rows(i, s);
        tensors.emplace_back(*backend_, rows.rows, rows.cols);
      }
    }
  }

  B* backend_;
  const TensorGraph<B>* graph_;
  std::optional<Cut> cut_;
  Bytes limit_ = 0, bytes_ = 0;
  std::unordered_map<std::size_t, std::vector<Tensor<B>>> kept_;     ///< by example: one tensor a value
  std::unordered_map<std::size_t, std::vector<Tensor<B>>> pending_;  ///< of the batch that is read
  std::vector<Staged> staged_;                                       ///< one a value
  std::span<const std::size_t> examples_;                            ///< of the batch that is read
  std::vector<std::size_t> computed_;
};

}  // namespace greentrainer
