#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// The paper's count of one tensor, in multiply-adds: forward, passing the activation gradient through its operator
/// (t_dy), its weight gradient (t_dw).
struct PaperTensorCost {
  std::string name = {};
  std::int64_t forward = 0;
  std::int64_t grad_input = 0;
  std::int64_t grad_weight = 0;
};

/// A model's tensors in checkpoint order, as the published code prices them: a chain in which the gradient passes the
/// tensors from last to first.
struct PaperCost {
  std::vector<PaperTensorCost> tensors = {};

  std::int64_t forward() const { return sum(&PaperTensorCost::forward); }
  std::int64_t grad_input() const { return sum(&PaperTensorCost::grad_input); }
  std::int64_t grad_weight() const { return sum(&PaperTensorCost::grad_weight); }

 private:
  std::int64_t sum(std::int64_t PaperTensorCost::*field) const {
    CheckedInteger total = 0;
    for (const auto& t : tensors) total += t.*field;
    return total.value();
  }
};

/// Prices decoder-only models by the published rules, for B padded sequences of N tokens. Tensors are added in
/// checkpoint order. Kept as published, oddities included (priced on the position table, N^2 without causality,
/// attention on the value's bias).
class PaperDecoderCost {
 public:
  PaperDecoderCost(Extent batch, Extent tokens, Extent vocabulary)
      : batch_(batch), tokens_(tokens), vocabulary_(vocabulary) {}

  /// Token embedding of its own width D', tied to the output head.
  void token_embedding(std::string name, Extent width) {
    const CheckedInteger head = rows() * width * vocabulary_;
    add(std::move(name), rows() * width + head, 0, head + CheckedInteger(width) * vocabulary_);
  }
  void position_embedding(std::string name, Extent entries) { add(std::move(name), rows() * entries, 0, entries); }
  /// A tensor the published code has no rule for.
  void unpriced(std::string name) { add(std::move(name), 0, 0, 0); }
  void weight(std::string name, Extent out, Extent in) {
    const CheckedInteger product = rows() * out * in;
    add(std::move(name), product, product, product);
  }
  void bias(std::string name, Extent out) { add(std::move(name), rows() * out, 0, rows() * out); }
  /// The value's bias (or that of a fused query_key_value, 3 D wide) carries the attention of model width D.
  void value_bias(std::string name, Extent out, Extent width) {
    const CheckedInteger pairs = rows() * tokens_ * width;
    add(std::move(name), rows() * out + pairs * 2, pairs * 4, rows() * out);
  }
  void norm_weight(std::string name, Extent width) {
    add(std::move(name), rows() * width, rows() * width, rows() * width);
  }
  void norm_bias(std::string name, Extent width) { add(std::move(name), rows() * width, 0, 0); }

  /// The last tensor also passes the gradient through the output head of this width.
  PaperCost finish(Extent head_width) && {
    if (cost_.tensors.empty()) throw ConfigError("PaperDecoderCost", "tensors", "expected at least one");
    std::int64_t& last = cost_.tensors.back().grad_input;
    last = (rows() * head_width * vocabulary_ + last).value();
    return std::move(cost_);
  }

 private:
  CheckedInteger rows() const { return CheckedInteger(batch_) * tokens_; }
  void add(std::string name, CheckedInteger forward, CheckedInteger grad_input, CheckedInteger grad_weight) {
    cost_.tensors.push_back({std::move(name), forward.value(), grad_input.value(), grad_weight.value()});
  }

  Extent batch_, tokens_, vocabulary_;
  PaperCost cost_;
};

/// Prices encoder-decoder models (T5) by the published rules, for B padded sources of N_i tokens and targets of N_o.
/// Tensors are added in checkpoint order. `tokens` are those of the stack that a tensor belongs to, so that
/// cross-attention's keys and values have the target's. Kept as published.
class PaperEncoderDecoderCost {
 public:
  PaperEncoderDecoderCost(Extent batch, Extent source_tokens, Extent target_tokens, Extent vocabulary)
      : batch_(batch), source_tokens_(source_tokens), target_tokens_(target_tokens), vocabulary_(vocabulary) {}

  void shared_embedding(std::string name, Extent width) {
    add(std::move(name), CheckedInteger(batch_) * (source_tokens_ + target_tokens_) * width, 0,
        CheckedInteger(2) * width * vocabulary_);
  }
  /// A tensor the published code has no rule for.
  void unpriced(std::string name) { add(std::move(name), 0, 0, 0); }
  void weight(std::string name, Extent tokens, Extent out, Extent in) {
    value_weight(std::move(name), tokens, 0, out, in);
  }
  /// The value's projection carries the attention over `pairs` of tokens a sequence.
  void value_weight(std::string name, Extent tokens, Extent pairs, Extent out, Extent in) {
    const CheckedInteger product = CheckedInteger(batch_) * tokens * out * in,
                         attention = CheckedInteger(batch_) * pairs * in;
    add(std::move(name), product + attention * 2, product + attention * 4, product);
  }
  void norm_weight(std::string name, Extent tokens, Extent width) { weight(std::move(name), tokens, 1, width); }
  void head(std::string name, Extent width) { weight(std::move(name), target_tokens_, vocabulary_, width); }

  PaperCost finish() && { return std::move(cost_); }

 private:
  void add(std::string name, CheckedInteger forward, CheckedInteger grad_input, CheckedInteger grad_weight) {
    cost_.tensors.push_back({std::move(name), forward.value(), grad_input.value(), grad_weight.value()});
  }

  Extent batch_, source_tokens_, target_tokens_, vocabulary_;
  PaperCost cost_;
};

}  // namespace greentrainer
