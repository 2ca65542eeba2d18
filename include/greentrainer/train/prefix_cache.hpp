#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/float_codec.hpp"
#include "greentrainer/executor/pass_memory.hpp"
#include "greentrainer/graph/cut.hpp"
#include "greentrainer/train/prefix_store.hpp"

namespace greentrainer {

/// First rows of each sequence of a batch, and the end, in values with rows of a kind.
inline std::vector<Extent> row_offsets(const Batch& batch, Rows rows) {
  const auto& offsets = rows == Rows::encoder_tokens ? batch.encoder.offsets : batch.decoder.offsets;
  std::vector<Extent> result(offsets.begin(), offsets.end());
  if (rows != Rows::labelled_tokens && rows != Rows::context_tokens) return result;
  for (Extent& offset : result) {
    const auto first = std::lower_bound(batch.label_rows.begin(), batch.label_rows.end(), static_cast<Index>(offset));
    const Extent labelled = first - batch.label_rows.begin();
    offset = rows == Rows::labelled_tokens ? labelled : offset - labelled;
  }
  return result;
}

/// What entries come to: bytes of an element, bytes of an entry beside its elements, and bytes of all at most.
struct PrefixRoom {
  Bytes element_size = 0;
  Bytes beside_each = 0;
  Bytes limit = 0;

  /// Of the entry of an example at a cut.
  template <class P>
  Bytes entry(const TensorGraph<P>& graph, const Cut& cut, const Workload& example) const {
    Bytes total = beside_each;
    for (const ValueId v : cut.values) {
      const ValueShape& shape = graph.value(v).shape;
      total += shape.cols * shape.row_count(example) * element_size;
    }
    return total;
  }
};

/// The values at a cut, for the examples that were seen since it was made: as long as nothing below the cut is trained,
/// the part of the model below it need not run again for these. Examples that do not fit are computed each time. Where
/// entries lie is the store's; in which element type, `type`: values that come back are those that were put there to
/// the bit if it is the backend's own, else rounded to it.
///
/// A batch is read in two passes: the one below the cut, for the examples that are not kept, hands its values to this;
/// the one above is given those of all examples, in the batch's order.
template <Backend B>
class PrefixCache final : public PassMemory<B> {
 public:
  using T = typename B::Scalar;

  /// `type`: the backend's own element type if empty; another one needs a backend of float or double (ConfigError).
  PrefixCache(B& backend, const TensorGraph<B>& graph, std::unique_ptr<PrefixStore> store, std::optional<DType> type,
              Bytes limit)
      : backend_(&backend), graph_(&graph), store_(std::move(store)), type_(type), limit_(limit) {
    if constexpr (std::same_as<T, float>) {
      if (type_ == DType::float32) type_.reset();
    } else if constexpr (std::same_as<T, double>) {
      if (type_ == DType::float64) type_.reset();
    } else if (type_) {
      throw ConfigError("PrefixCache", "type", text("expected that of the backend, got ", name_of(*type_)));
    }
  }

  /// Keeps values at this cut from now on. What is kept stays if the cut is the same.
  void use(Cut cut) {
    if (cut_ != cut) clear();
    cut_ = std::move(cut);
    staged_.resize(cut_->values.size());
  }
  /// Forgets everything: call it when weights below the cut, or the examples, have changed.
  void clear() {
    cut_.reset();
    store_->clear();
    pending_.clear();
    staged_.clear();
  }

  const std::optional<Cut>& cut() const { return cut_; }
  PrefixStore& store() { return *store_; }
  const PrefixStore& store() const { return *store_; }
  PrefixRoom room() const { return room_of(type_, store_->beside_each(), std::min(limit_, store_->capacity())); }
  static PrefixRoom room_of(std::optional<DType> type, Bytes beside_each, Bytes limit) {
    return {.element_size = type ? size_of(*type) : static_cast<Bytes>(sizeof(T)),
            .beside_each = beside_each,
            .limit = limit};
  }
  /// Of the copy that a batch reads, in the backend's memory.
  Bytes staged_bytes() const {
    return std::accumulate(staged_.begin(), staged_.end(), Bytes{0},
                           [](Bytes sum, const auto& staged) { return sum + staged.tensor.bytes(); });
  }

  /// Prepares for the passes of a batch: `examples` are the numbers of its sequences. Loads the values that are kept.
  /// Returns the batch's other sequences, ascending: the pass below the cut must run for these.
  std::vector<std::size_t> begin(const Batch& batch, std::span<const std::size_t> examples) {
    keys_.clear();
    computed_.clear();
    for (std::size_t i = 0; i < cut_->values.size(); ++i) {
      const ValueShape& shape = graph_->value(cut_->values[i]).shape;
      staged_[i].rows = row_offsets(batch, shape.rows);
      if (staged_[i].tensor.size() < staged_[i].rows.back() * shape.cols) {
        staged_[i].tensor = {};  // free before asking for more
        staged_[i].tensor = Tensor<B>(*backend_, 1, staged_[i].rows.back() * shape.cols);
      }
    }
    for (std::size_t s = 0; s < examples.size(); ++s) {
      keys_.push_back({.example = examples[s], .tokens = sum_of_tokens(batch, s)});
      if (const auto entry = store_->get(keys_.back(), static_cast<std::size_t>(entry_bytes(s))))
        restore(s, *entry);
      else
        computed_.push_back(s);
    }
    add_pending();
    return computed_;
  }
  /// Call it after the pass below the cut: keeps what was computed, as far as the limit goes.
  void commit() {
    for (const std::size_t s : computed_) {
      const auto found = pending_.find(s);
      if (found != pending_.end()) store_->put(keys_[s], std::move(found->second));
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
      backend_->copy(target.data, rows.data, bytes_in_backend(target));
      const auto found = pending_.find(s);
      if (found != pending_.end()) encode(rows, part_of(std::span(found->second), i, s));
      first += target.rows;
    }
  }
  Matrix<T> remembered(ValueId) override { return {}; }

 private:
  /// One value of the batch that is read.
  struct Staged {
    Tensor<B> tensor;
    std::vector<Extent> rows;  ///< first row of each sequence, and the end
  };

  std::size_t index_of(ValueId value) const {
    return static_cast<std::size_t>(std::find(cut_->values.begin(), cut_->values.end(), value) - cut_->values.begin());
  }
  Matrix<T> staged_rows(std::size_t i, std::size_t sequence) const {
    const Extent cols = graph_->value(cut_->values[i]).shape.cols;
    const auto& rows = staged_[i].rows;
    return {staged_[i].tensor.data() + rows[sequence] * cols, rows[sequence + 1] - rows[sequence], cols};
  }
  static Bytes bytes_in_backend(const Matrix<T>& rows) { return rows.size() * static_cast<Bytes>(sizeof(T)); }

  static std::uint64_t sum_of_tokens(const Batch& batch, std::size_t sequence) {
    Checksum sum;
    for (const PackedTokens* stream : {&batch.decoder, &batch.encoder}) {
      if (sequence + 1 >= stream->offsets.size()) continue;
      const auto first = static_cast<std::size_t>(stream->offsets[sequence]);
      const auto end = static_cast<std::size_t>(stream->offsets[sequence + 1]);
      sum.add(std::as_bytes(std::span(stream->ids).subspan(first, end - first)));
      if (batch.features.empty() || stream != &batch.decoder) continue;
      const std::size_t width = batch.features.size() / batch.decoder.ids.size();
      sum.add(std::as_bytes(std::span(batch.features).subspan(first * width, (end - first) * width)));
    }
    return sum.value();
  }

  /// Of the elements of the first `values` values of a sequence.
  Bytes entry_bytes(std::size_t sequence, std::size_t values) const {
    Bytes total = 0;
    for (std::size_t i = 0; i < values; ++i) total += staged_rows(i, sequence).size() * room().element_size;
    return total;
  }
  Bytes entry_bytes(std::size_t sequence) const { return entry_bytes(sequence, staged_.size()); }
  /// The part of an entry that holds value i.
  template <class Byte>
  std::span<Byte> part_of(std::span<Byte> entry, std::size_t i, std::size_t sequence) const {
    return entry.subspan(static_cast<std::size_t>(entry_bytes(sequence, i)),
                         static_cast<std::size_t>(staged_rows(i, sequence).size() * room().element_size));
  }

  void restore(std::size_t sequence, std::span<const std::byte> entry) {
    for (std::size_t i = 0; i < staged_.size(); ++i) {
      const Matrix<T> target = staged_rows(i, sequence);
      std::span<const std::byte> bytes = part_of(entry, i, sequence);
      if constexpr (std::floating_point<T>) {
        if (type_) {
          converted_.resize(static_cast<std::size_t>(target.size()));
          decode_floats(*type_, bytes, std::span(converted_));
          bytes = std::as_bytes(std::span(converted_));
        }
      }
      if (!bytes.empty()) backend_->copy_from_host(target.data, bytes.data(), static_cast<Bytes>(bytes.size()));
    }
  }
  void encode(Matrix<const T> rows, std::span<std::byte> bytes) {
    if (bytes.empty()) return;
    if constexpr (std::floating_point<T>) {
      if (type_) {
        converted_.resize(static_cast<std::size_t>(rows.size()));
        backend_->copy_to_host(converted_.data(), rows.data, rows.size() * static_cast<Bytes>(sizeof(T)));
        return encode_floats(*type_, std::span<const T>(converted_), bytes);
      }
    }
    backend_->copy_to_host(bytes.data(), rows.data, static_cast<Bytes>(bytes.size()));
  }

  /// Memory for the examples that are about to be computed, as far as the limit goes.
  void add_pending() {
    pending_.clear();
    const PrefixRoom at_most = room();
    Bytes total = store_->bytes();
    std::unordered_set<std::uint64_t> added;
    for (const std::size_t s : computed_) {
      const Bytes entry = entry_bytes(s);
      if (total + entry + at_most.beside_each > at_most.limit || !added.insert(keys_[s].example).second) continue;
      total += entry + at_most.beside_each;
      pending_[s].resize(static_cast<std::size_t>(entry));
    }
  }

  B* backend_;
  const TensorGraph<B>* graph_;
  std::unique_ptr<PrefixStore> store_;
  std::optional<DType> type_;  ///< that entries are converted to; empty: they are as computed
  Bytes limit_ = 0;
  std::optional<Cut> cut_;
  std::vector<Staged> staged_;                                       ///< one a value
  std::vector<PrefixKey> keys_;                                      ///< of the sequences of the batch that is read
  std::vector<std::size_t> computed_;                                ///< of these, those that were not there
  std::unordered_map<std::size_t, std::vector<std::byte>> pending_;  ///< entries of these, as far as they fit
  std::vector<T> converted_;
};

}  // namespace greentrainer
