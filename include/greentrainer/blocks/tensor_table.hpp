#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"

namespace greentrainer {

/// What a tensor is in its model: published prices go by it.
enum class TensorRole {
  token_embedding,
  position_embedding,
  embedding_projection,  ///< between an embedding's width and the model's
  relative_bias,
  norm,
  linear,
  value,  ///< a linear layer that makes attention's values, alone or with queries and keys
  other,  ///< for which the published prices have no rule
  head
};

/// What a tensor is called in GGUF files, and how its numbers differ there. They lie as the graph reads them. An empty
/// name: no GGUF file has it.
struct GgufForm {
  std::string name = {};
  Extent rotary_heads = 0;  ///< rows i and i + half of each of so many heads stand next to each other
  float offset = 0;         ///< has been added to every number, in float32
};

/// One tensor of a model: its name, its shape as the graph reads it, and how checkpoints hold it.
struct TensorRow {
  std::string name = {};
  ParameterShape shape = {};
  TensorRole role = TensorRole::linear;
  bool takes_lora = false;                    ///< its layer gets LoRA's matrices where no targets are named
  bool stored_transposed = false;             ///< checkpoints have (in, out), as GPT-2's Conv1D
  Extent stacked = 0;                         ///< checkpoints have so many matrices, which here are one below the other
  bool kept_in_float32 = false;               ///< transformers keeps it so in a float16 model
  std::vector<std::string> other_names = {};  ///< that checkpoints may have it under as well; those in a file are equal
  GgufForm gguf = {};

  bool is_bias() const { return name.ends_with(".bias"); }
  ParameterShape stored_shape() const {
    ParameterShape stored = shape;
    if (stacked > 0) stored.front() /= stacked;
    if (stored_transposed) std::reverse(stored.begin(), stored.end());
    if (stacked > 0) stored.insert(stored.begin(), stacked);
    return stored;
  }
};

/// The head's name in a checkpoint and the embedding that transformers ties it to.
struct TiedHead {
  std::string name = {};
  std::string embedding = {};
  std::vector<std::string> other_names = {};  ///< that checkpoints may have it under as well
};

/// What an architecture says of its tensors, each of them once. The graph, loading and saving, published prices and
/// adapters read it.
struct TensorTable {
  std::vector<TensorRow> rows = {};  ///< in the order of the checkpoint
  /// Where the head may be tied to an embedding: it is, unless a file has both and they differ. Nothing where
  /// config.json says that it is not.
  std::optional<TiedHead> head = {};
  /// Globs of tensors of parts of the model that are not in the graph, of images for example: a saved folder has them
  /// as they were.
  std::vector<std::string> other_parts = {};
  std::vector<std::string> passed_over = {};  ///< globs of tensors that transformers does not read, without a warning

  TensorRow& add(TensorRow row) {
    rows.push_back(std::move(row));
    return rows.back();
  }
  /// weight (out, in), and bias (out).
  void linear(const std::string& layer, Extent in, Extent out, bool bias, TensorRole role = TensorRole::linear,
              bool takes_lora = false) {
    add({.name = layer + ".weight", .shape = {out, in}, .role = role, .takes_lora = takes_lora});
    if (bias) add({.name = layer + ".bias", .shape = {out}, .role = role});
  }
  void norm(const std::string& layer, Extent width, bool bias) {
    add({.name = layer + ".weight", .shape = {width}, .role = TensorRole::norm});
    if (bias) add({.name = layer + ".bias", .shape = {width}, .role = TensorRole::norm});
  }
  void embedding(const std::string& layer, Extent entries, Extent width,
                 TensorRole role = TensorRole::token_embedding) {
    add({.name = layer + ".weight", .shape = {entries, width}, .role = role});
  }

  /// Says what the rows from `first` on, the weight and bias of one layer, are in GGUF files; `form` has the layer's
  /// name.
  void set_gguf(std::size_t first, const GgufForm& form) {
    for (std::size_t i = first; i < rows.size(); ++i) {
      rows[i].gguf = form;
      rows[i].gguf.name += rows[i].is_bias() ? ".bias" : ".weight";
    }
  }

  const TensorRow* find(std::string_view name) const {
    const auto found = std::ranges::find(rows, name, &TensorRow::name);
    return found == rows.end() ? nullptr : &*found;
  }
  bool takes_lora(std::string_view layer) const {
    return std::ranges::any_of(
        rows, [&](const TensorRow& row) { return row.takes_lora && row.name == text(layer, ".weight"); });
  }
};

}  // namespace greentrainer
