#pragma once

#include <string>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/ops/activation.hpp"
#include "greentrainer/ops/add.hpp"
#include "greentrainer/ops/attention.hpp"
#include "greentrainer/ops/cross_entropy_head.hpp"
#include "greentrainer/ops/embedding.hpp"
#include "greentrainer/ops/fused_attention.hpp"
#include "greentrainer/ops/gather_labelled.hpp"
#include "greentrainer/ops/layer_norm.hpp"
#include "greentrainer/ops/linear.hpp"
#include "greentrainer/ops/rms_norm.hpp"
#include "greentrainer/ops/rotary.hpp"
#include "greentrainer/ops/scale.hpp"

namespace greentrainer {

/// Wires operators to parameters by name: `linear("fc1", x, ...)` reads "fc1.weight" and, with a bias, "fc1.bias". Parameters are declared on the graph
/// beforehand, in checkpoint order, which need not be the order of the forward pass.
template <class P>
class BlockBuilder {
 public:
  explicit BlockBuilder(TensorGraph<P>& graph) : graph_(&graph) {}

  ValueId linear(const std::string& name, ValueId x, Extent out, bool bias) {
    const ValueShape shape = shape_of(x);
    return graph_->add(Linear{.rows = shape.rows, .in = shape.cols, .out = out, .bias = bias}, name, {x}, weight_and_bias(name, bias))[0];
  }
  ValueId layer_norm(const std::string& name, ValueId x, double epsilon) {
    const ValueShape shape = shape_of(x);
    return graph_->add(LayerNorm{.rows = shape.rows, .width = shape.cols, .epsilon = epsilon}, name, {x}, weight_and_bias(name, true))[0];
  }
  ValueId rms_norm(const std::string& name, ValueId x, double epsilon) {
    const ValueShape shape = shape_of(x);
    return graph_->add(RmsNorm{.rows = shape.rows, .width = shape.cols, .epsilon = epsilon}, name, {x}, weight_and_bias(name, false))[0];
  }
  ValueId embedding(const std::string& name, Rows rows, Embedding::Source source, Extent offset = 0) {
    const ParameterId table = named(name + ".weight");
    const Parameter& p = graph_->parameter(table);
    return graph_->add(Embedding{.rows = rows, .source = source, .entries = p.rows(), .width = p.cols(), .offset = offset}, name, {}, {table})[0];
  }
  ValueId add(const std::string& name, ValueId a, ValueId b) {
    const ValueShape shape = shape_of(a);
    return graph_->add(Add{.rows = shape.rows, .width = shape.cols}, name, {a, b})[0];
  }
  ValueId activate(const std::string& name, ValueId x, Activation function) {
    const ValueShape shape = shape_of(x);
    return graph_->add(Activate{.rows = shape.rows, .width = shape.cols, .function = function}, name, {x})[0];
  }
  ValueId gate(const std::string& name, ValueId gate, ValueId up, Activation function) {
    const ValueShape shape = shape_of(gate);
    return graph_->add(GatedActivation{.rows = shape.rows, .width = shape.cols, .function = function}, name, {gate, up})[0];
  }
  ValueId rotary(const std::string& name, ValueId x, Extent head_dim, double theta) {
    const ValueShape shape = shape_of(x);
    return graph_->add(Rotary{.rows = shape.rows, .heads = shape.cols / head_dim, .head_dim = head_dim, .theta = theta}, name, {x})[0];
  }
  ValueId attention(const std::string& name, ValueId q, ValueId k, ValueId v, Extent head_dim, double scale, bool causal) {
    return graph_->add(attention_of(q, k, head_dim, scale, causal), name, {q, k, v})[0];
  }
  /// With the relative position bias of a parameter, given by its full name, which several attentions may read.
  ValueId attention(const std::string& name, ValueId q, ValueId k, ValueId v, Extent head_dim, double scale, bool causal, RelativeBias relative,
                    const std::string& table) {
    Attention attention = attention_of(q, k, head_dim, scale, causal);
    attention.relative = relative;
    return graph_->add(attention, name, {q, k, v}, {named(table)})[0];
  }
  /// Causal, over each head's query, key and value side by side.
  ValueId fused_attention(const std::string& name, ValueId qkv, Extent head_dim, double scale, bool alibi) {
    const ValueShape shape = shape_of(qkv);
    return graph_->add(
        FusedAttention{.rows = shape.rows, .heads = shape.cols / (3 * head_dim), .head_dim = head_dim, .scale = scale, .alibi = alibi}, name, {qkv})[0];
  }
  ValueId scale(const std::string& name, ValueId x, double factor) {
    const ValueShape shape = shape_of(x);
    return graph_->add(Scale{.rows = shape.rows, .width = shape.cols, .factor = factor}, name, {x})[0];
  }
  ValueId gather_labelled(const std::string& name, ValueId x) { return graph_->add(GatherLabelled{.width = shape_of(x).cols}, name, {x})[0]; }
  void cross_entropy_head(const std::string& name, ValueId x, const std::string& weight) {
    const ParameterId id = named(weight);
    graph_->add(CrossEntropyHead{.width = shape_of(x).cols, .vocabulary = graph_->parameter(id).rows()}, name, {x}, {id});
  }

 private:
  ValueShape shape_of(ValueId v) const { return graph_->value(v).shape; }
  Attention attention_of(ValueId q, ValueId k, Extent head_dim, double scale, bool causal) const {
    const ValueShape queries = shape_of(q), keys = shape_of(k);
    return {.query_rows = queries.rows,
            .key_rows = keys.rows,
            .heads = queries.cols / head_dim,
            .kv_heads = keys.cols / head_dim,
            .head_dim = head_dim,
            .scale = scale,
            .causal = causal};
  }
  ParameterId named(const std::string& name) const {
    const auto id = graph_->find(name);
    if (!id) throw ConfigError("BlockBuilder", text(name, ": expected a declared parameter, got none of that name"));
    return *id;
  }
  std::vector<ParameterId> weight_and_bias(const std::string& name, bool bias) const {
    std::vector<ParameterId> ids = {named(name + ".weight")};
    if (bias) ids.push_back(named(name + ".bias"));
    return ids;
  }

  TensorGraph<P>* graph_;
};

}  // namespace greentrainer
