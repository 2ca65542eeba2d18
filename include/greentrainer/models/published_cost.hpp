#pragma once

#include <string_view>
#include <utility>

#include "greentrainer/blocks/tensor_table.hpp"
#include "greentrainer/cost/paper_cost.hpp"

namespace greentrainer {

/// The published prices of a decoder-only model's tensors, in multiply-adds, for `batch` padded sequences of `tokens`
/// tokens. The table has a token embedding, and no heads of attention for which there is no rule.
inline PaperCost published_decoder_cost(const TensorTable& table, Extent model_width, Extent batch, Extent tokens) {
  const TensorRow& embedding = *std::ranges::find(table.rows, TensorRole::token_embedding, &TensorRow::role);
  PaperDecoderCost cost(batch, tokens, embedding.shape[0]);
  for (const TensorRow& row : table.rows) {
    const Extent out = row.shape.front(), in = row.shape.back();
    switch (row.role) {
      case TensorRole::token_embedding: cost.token_embedding(row.name, in); break;
      case TensorRole::position_embedding: cost.position_embedding(row.name, out); break;
      case TensorRole::norm: row.is_bias() ? cost.norm_bias(row.name, in) : cost.norm_weight(row.name, in); break;
      case TensorRole::value:
        row.is_bias() ? cost.value_bias(row.name, out, model_width) : cost.weight(row.name, out, in);
        break;
      case TensorRole::linear: row.is_bias() ? cost.bias(row.name, out) : cost.weight(row.name, out, in); break;
      default: cost.unpriced(row.name);
    }
  }
  return std::move(cost).finish(embedding.shape[1]);
}

/// The same of T5's kind, for sequences of these lengths. They know no tied head. Tensors of `encoder_prefix` belong to
/// the encoder, and values under `cross_attention` carry the attention to its tokens.
inline PaperCost published_encoder_decoder_cost(const TensorTable& table, std::string_view encoder_prefix,
                                                std::string_view cross_attention, Extent batch, Extent source_tokens,
                                                Extent target_tokens) {
  const TensorRow& embedding = *std::ranges::find(table.rows, TensorRole::token_embedding, &TensorRow::role);
  PaperEncoderDecoderCost cost(batch, source_tokens, target_tokens, embedding.shape[0]);
  for (const TensorRow& row : table.rows) {
    const Extent tokens = row.name.starts_with(encoder_prefix) ? source_tokens : target_tokens;
    const Extent out = row.shape.front(), in = row.shape.back();
    switch (row.role) {
      case TensorRole::token_embedding: cost.shared_embedding(row.name, in); break;
      case TensorRole::head: cost.head(row.name, in); break;
      case TensorRole::norm: cost.norm_weight(row.name, tokens, in); break;
      case TensorRole::value: {
        const bool cross = row.name.find(cross_attention) != std::string::npos;
        cost.value_weight(row.name, tokens, tokens * (cross ? source_tokens : tokens), out, in);
        break;
      }
      case TensorRole::linear: cost.weight(row.name, tokens, out, in); break;
      default: cost.unpriced(row.name);
    }
  }
  return std::move(cost).finish();
}

}  // namespace greentrainer
