#pragma once

#include <string_view>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Packed sequences as a kernel sees them: sequence s holds the rows [offsets[s], offsets[s + 1]).
struct SequenceView {
  const Index* offsets = nullptr;  ///< count + 1 entries, in the backend's memory
  Extent count = 0;
  Extent max_length = 0;           ///< of the longest sequence, known to the host
};

/// Shape of an attention over packed sequences. Query head h reads key and value head h / (heads / kv_heads).
/// Queries are (query rows, heads * head_dim), keys and values (key rows, kv_heads * head_dim). Sequence s of the queries attends
/// to sequence s of the keys: all of it, or if `causal` the first i + 1 keys for query i.
struct AttentionShape {
  Extent heads = 0;
  Extent kv_heads = 0;
  Extent head_dim = 0;
  double scale = 1;                ///< on the scores, before the softmax
  bool causal = true;
  SequenceView queries;
  SequenceView keys;
};

/// Element-wise functions between two linear layers. `gelu` is the exact one (erf), `gelu_tanh` its tanh approximation.
enum class Activation { relu, gelu, gelu_tanh, silu };

constexpr std::string_view name_of(Activation kind) {
  switch (kind) {
    case Activation::relu: return "relu";
    case Activation::gelu: return "gelu";
    case Activation::gelu_tanh: return "gelu_tanh";
    case Activation::silu: return "silu";
  }
  return "?";
}

/// Direction of a rotary embedding; its gradient rotates back.
enum class Rotation : bool { forward = false, backward = true };

/// Scalars of one AdamW update, as torch.optim.AdamW defines them. `step` counts from 1 and is this tensor's own.
struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  Extent step = 1;
};

/// Scalars of one SGD update, as torch.optim.SGD defines them (no dampening, no Nesterov). The first step of a tensor sets its velocity to the gradient.
struct SgdStep {
  double learning_rate = 0;
  double momentum = 0;
  double weight_decay = 0;
  bool first = true;
};

}  // namespace greentrainer
