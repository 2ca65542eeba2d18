#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/blocks/tensor_table.hpp"
#include "greentrainer/core/compiled.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/config_reader.hpp"

namespace greentrainer {

/// The element type that transformers gives all weights of a folder: the one that config.json names, or that of the
/// alphabetically first floating-point tensor of the first file. Throws ConfigError for a name that is none of ours.
DType element_type_of(const ConfigReader& config, const Checkpoint& checkpoint);

/// A checkpoint's tensors as the rows of an architecture's table, which are the first parameters of its graph: which is
/// which, and their numbers as transformers loads them. A GGUF file has them under names of its own, and some of them
/// in another form (GgufForm); it is saved as a folder.
class StoredWeights {
 public:
  StoredWeights(std::shared_ptr<const Checkpoint> checkpoint, DType dtype, TensorTable table)
      : checkpoint_(std::move(checkpoint)), dtype_(dtype), table_(std::move(table)) {}

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  /// What a parameter that is not an adapter is called in the checkpoint.
  const std::string& name(ParameterId id) const { return found_[static_cast<std::size_t>(id)]; }

  /// A parameter's tensor as a saved folder has it: its name, shape and element type.
  TensorInfo saved(ParameterId id) const;
  /// Hands its bytes in a saved folder of that element type, if it has not changed, to `sink` in pieces. False, without
  /// any, where the source has none such.
  bool for_saved_bytes(ParameterId id, const std::function<void(std::span<const std::byte>)>& sink) const;
  /// Whether a saved folder has its numbers in the order in which the graph has them.
  bool keeps_order(ParameterId id) const {
    return !checkpoint_->is_gguf() && !checkpoint_->is_decoded(name(id)) && !row(id).stored_transposed;
  }

  /// The storage format that holds a parameter's numbers as the checkpoint has them: blocks of a GGUF file, or 16 bits.
  /// Null where none does: for numbers of 32 or 64 bits, and where they are changed when they are loaded.
  const StorageFormat* source_format(ParameterId id) const;
  /// Its bytes in that format.
  std::vector<std::byte> source_blocks(ParameterId id) const;

  /// Whether the checkpoint has linear layers as (in, out).
  bool is_transposed() const {
    return std::ranges::any_of(table_.rows, [](const TensorRow& r) { return r.stored_transposed && r.stacked == 0; });
  }

  /// Tensors of the model's other parts, which a saved folder has as they are.
  std::vector<std::string> other_parts() const;

  /// Whether the checkpoint has a head of its own beside the embedding that the head may be tied to.
  bool has_own_head() const;

  /// Finds each row's tensor. Throws LoadError for one that is not there or has another shape, and for a tensor that
  /// the table does not have, which may be part of the mathematics: unless it repeats another, is none of numbers
  /// (masks and indices), or is one that transformers passes over.
  void match();

  /// A parameter's numbers, in the element type that transformers gives them. Throws LoadError for one that is not
  /// finite, or that the type cannot hold.
  template <std::floating_point T>
  void read(ParameterId id, std::span<T> values) const {
    read_in_order(id, 0, values);
    if (checkpoint_->is_gguf())
      from_gguf(row(id), values);
    else if (row(id).stored_transposed)
      transpose(row(id), row(id).shape[1], values);
  }

  /// Some of them in the checkpoint's order, from the `first` on: those of the graph where that keeps_order.
  template <std::floating_point T>
  void read_in_order(ParameterId id, std::size_t first, std::span<T> values) const {
    const TensorInfo& info = checkpoint_->info(name(id));
    for (std::size_t i = 0; i < values.size(); i += chunk)
      read_part(info, first + i, values.subspan(i, std::min(chunk, values.size() - i)));
    const auto bad = std::ranges::find_if(values, [](T value) { return !std::isfinite(value); });
    if (bad == values.end()) return;
    throw LoadError(
        "load_pretrained", text(info.file.string(), ", tensor ", info.name),
        text("expected finite weights of ", name_of(dtype_), ", got ", *bad, " at element ",
             first + static_cast<std::size_t>(bad - values.begin()), "; transformers, too, loads them as that type"));
  }

  /// A parameter's numbers, laid out as a folder has them; and the other way round.
  template <std::floating_point T>
  std::vector<T> as_stored(ParameterId id, std::vector<T> values) const {
    const TensorRow& r = row(id);
    if (r.stored_transposed) transpose(r, r.shape[0] / std::max<Extent>(1, r.stacked), std::span<T>(values));
    return values;
  }
  template <std::floating_point T>
  std::vector<T> from_stored(ParameterId id, std::vector<T> values) const {
    if (row(id).stored_transposed) transpose(row(id), row(id).shape[1], std::span<T>(values));
    return values;
  }

 private:
  static constexpr std::size_t chunk = std::size_t{1} << 16;

  const TensorRow& row(ParameterId id) const { return table_.rows[static_cast<std::size_t>(id)]; }
  const char* belongs_question() const;
  /// Of the head that may be tied, in the checkpoint.
  const std::string& head_name() const;
  bool head_is_tied() const { return table_.head && table_.find(table_.head->name) == nullptr; }

  /// Takes off what GgufForm says, in place.
  template <std::floating_point T>
  static void from_gguf(const TensorRow& row, std::span<T> values) {
    if (row.gguf.offset != 0) {
      for (T& value : values) value = static_cast<T>(static_cast<float>(value) - row.gguf.offset);
    }
    part_pairs(row, values);
  }
  /// Rows that stand in pairs, of numbers or of bytes, go where they belong, in place.
  template <class Element>
  static void part_pairs(const TensorRow& row, std::span<Element> values) {
    if (row.gguf.rotary_heads == 0) return;
    const auto rows = static_cast<std::size_t>(row.shape[0]), width = values.size() / rows;
    const std::size_t head = rows / static_cast<std::size_t>(row.gguf.rotary_heads);
    const std::vector<Element> before(values.begin(), values.end());
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t in_head = r % head, pair = in_head % (head / 2), second = in_head / (head / 2);
      const std::size_t from = r - in_head + 2 * pair + second;
      std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(from * width), width,
                  values.begin() + static_cast<std::ptrdiff_t>(r * width));
    }
  }

  /// The row's matrices, each of `rows` rows, in place.
  template <std::floating_point T>
  static void transpose(const TensorRow& row, Extent rows, std::span<T> values) {
    const auto matrices = static_cast<std::size_t>(std::max<Extent>(1, row.stacked));
    const std::size_t size = values.size() / matrices, height = static_cast<std::size_t>(rows), width = size / height;
    for (std::size_t m = 0; m < matrices; ++m) {
      const std::span<T> matrix = values.subspan(m * size, size);
      const std::vector<T> before(matrix.begin(), matrix.end());
      for (std::size_t r = 0; r < height; ++r) {
        for (std::size_t c = 0; c < width; ++c) matrix[c * height + r] = before[r * width + c];
      }
    }
  }

  /// Under its own name, without a leading "model.", "transformer." or "gpt_neox.", or under another of its names.
  std::optional<std::string> find_own(const std::string& parameter) const;
  bool is_of_other_part(const std::string& tensor) const;

  void expect_needless(const std::string& tensor) const;
  /// The row that a tensor of this name repeats.
  std::optional<std::size_t> repeated(const std::string& tensor) const;

  /// Whether two tensors are the same weights once they are loaded.
  bool equal(const std::string& a, const std::string& b) const;

  /// Of the elements from `first` on, so many as `values` has.
  template <std::floating_point T>
  void read_part(const TensorInfo& info, std::size_t first, std::span<T> values) const {
    checkpoint_->read_part_as(info.name, first, values);
    if (info.dtype == dtype_ || (dtype_ == DType::float16 && is_kept_in_float32(info.name))) return;
    decode_floats<T>(dtype_, encode_floats<T>(dtype_, std::span<const T>(values)), values);
  }

  bool is_kept_in_float32(const std::string& tensor) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  DType dtype_;
  TensorTable table_;
  std::vector<std::string> found_;  ///< by row
};

/// An architecture as a checkpoint has it: with a head of its own where the file has one that differs from the
/// embedding which it could be tied to.
template <class Architecture>
Architecture as_stored(Architecture architecture, const std::shared_ptr<const Checkpoint>& checkpoint, DType dtype) {
  TensorTable table = architecture.tensors();
  if constexpr (requires { architecture.tie_word_embeddings; }) {
    if (table.head)
      architecture.tie_word_embeddings = !StoredWeights(checkpoint, dtype, std::move(table)).has_own_head();
  }
  return architecture;
}

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/pretrained/stored_weights_inl.hpp"
#endif
