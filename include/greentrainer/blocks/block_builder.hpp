#pragma once

#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "greentrainer/blocks/graph_options.hpp"
#include "greentrainer/blocks/tensor_table.hpp"
#include "greentrainer/graph/pruned_rows.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/ops/activation.hpp"
#include "greentrainer/ops/add.hpp"
#include "greentrainer/ops/attention.hpp"
#include "greentrainer/ops/cross_entropy_head.hpp"
#include "greentrainer/ops/dense_input.hpp"
#include "greentrainer/ops/dropout.hpp"
#include "greentrainer/ops/embedding.hpp"
#include "greentrainer/ops/expert.hpp"
#include "greentrainer/ops/fused_attention.hpp"
#include "greentrainer/ops/fused_experts.hpp"
#include "greentrainer/ops/gather_labelled.hpp"
#include "greentrainer/ops/layer_norm.hpp"
#include "greentrainer/ops/linear.hpp"
#include "greentrainer/ops/mean_rows.hpp"
#include "greentrainer/ops/prefix.hpp"
#include "greentrainer/ops/rms_norm.hpp"
#include "greentrainer/ops/rotary.hpp"
#include "greentrainer/ops/route.hpp"
#include "greentrainer/ops/scale.hpp"
#include "greentrainer/ops/scale_rows.hpp"
#include "greentrainer/ops/split_columns.hpp"
#include "greentrainer/ops/squared_error.hpp"

namespace greentrainer {

/// What an attention leaves out of its scores, see AttentionShape, and what joins them.
struct AttentionLimits {
  Extent window = 0;
  double score_cap = 0;
  std::string sinks = "";  ///< the full name of their parameter (heads); empty: none
};

/// Wires operators to parameters by name: `linear("fc1", x)` reads "fc1.weight" and, where it is declared, "fc1.bias",
/// and takes its sizes from them. Parameters are declared beforehand, by an architecture's table or on the graph, in
/// checkpoint order, which need not be the order of the forward pass. What GraphOptions ask for is built in, with
/// parameters that are declared on the way; finish() is to be called last, and leaves out the rows that nobody reads.
template <class P>
class BlockBuilder {
 public:
  explicit BlockBuilder(TensorGraph<P>& graph) : graph_(&graph) {}
  /// Declares the table's tensors. Throws ConfigError naming an option that is out of range.
  BlockBuilder(TensorGraph<P>& graph, const TensorTable& table, GraphOptions options, AdapterPlaces places)
      : graph_(&graph), options_(std::move(options)), places_(places) {
    check_graph_options(options_);
    for (const TensorRow& row : table.rows) {
      graph.parameter(row.name, row.shape);
      if (row.takes_lora) lora_weights_.insert(row.name);
    }
    if (options_.lora) target_met_.resize(options_.lora->targets.size(), false);
  }

  /// Checks the graph and prunes it (with_pruned_rows): its values get other numbers. Throws ConfigError for a LoRA
  /// target that no linear layer matches, and what TensorGraph::finish throws.
  void finish() const {
    for (std::size_t t = 0; t < target_met_.size(); ++t) {
      if (target_met_[t]) continue;
      throw ConfigError("lora", "targets",
                        text("expected names or globs of linear layers, got ", options_.lora->targets[t],
                             ", which matches none; e.g. ", last_linear_));
    }
    graph_->finish();
    *graph_ = with_pruned_rows(*graph_);
  }

  ValueId linear(const std::string& name, ValueId x) {
    const ValueShape shape = shape_of(x);
    const std::vector<ParameterId> parameters = weight_and_bias(name);
    const Linear linear{.rows = shape.rows,
                        .in = shape.cols,
                        .out = graph_->parameter(parameters.front()).rows(),
                        .bias = parameters.size() > 1};
    const ValueId y = graph_->add(linear, name, {x}, parameters)[0];
    return is_lora_target(name) ? add_lora(name, x, y) : y;
  }
  ValueId layer_norm(const std::string& name, ValueId x, double epsilon) {
    const ValueShape shape = shape_of(x);
    const std::vector<ParameterId> parameters = weight_and_bias(name);
    const LayerNorm norm{.rows = shape.rows, .width = shape.cols, .epsilon = epsilon, .bias = parameters.size() > 1};
    return graph_->add(norm, name, {x}, parameters)[0];
  }
  /// Over stretches of columns as long as the weight: whole rows, or heads. `offset` is added to the weight.
  ValueId rms_norm(const std::string& name, ValueId x, double epsilon, double offset = 0) {
    const ValueShape shape = shape_of(x);
    const ParameterId weight = named(name + ".weight");
    const Extent width = graph_->parameter(weight).cols();
    if (width <= 0) throw ShapeError(name, "weight", "expected one with elements, got none");
    return graph_->add(
        RmsNorm{.rows = shape.rows, .width = width, .epsilon = epsilon, .groups = shape.cols / width, .offset = offset},
        name, {x}, {weight})[0];
  }
  /// Whose sizes are the table's.
  ValueId embedding(const std::string& name, Embedding embedding) {
    const ParameterId table = named(name + ".weight");
    embedding.entries = graph_->parameter(table).rows();
    embedding.width = graph_->parameter(table).cols();
    return graph_->add(embedding, name, {}, {table})[0];
  }
  /// The features of the decoder's rows.
  ValueId dense_input(const std::string& name, Extent width) {
    return graph_->add(DenseInput{.width = width}, name, {})[0];
  }
  ValueId add(const std::string& name, ValueId a, ValueId b) {
    const ValueShape shape = shape_of(a);
    return graph_->add(Add{.rows = shape.rows, .width = shape.cols}, name, {a, b})[0];
  }
  /// The residual connection of a block: x + branch.
  ValueId residual(const std::string& name, ValueId x, ValueId branch) {
    return add(name, x, dropout(name + ".dropout", branch, options_.dropout));
  }
  /// x itself where nothing is to be dropped.
  ValueId dropout(const std::string& name, ValueId x, double probability) {
    if (probability == 0) return x;
    const ValueShape shape = shape_of(x);
    return graph_->add(Dropout{.rows = shape.rows, .width = shape.cols, .probability = probability, .purpose = name},
                       name, {x})[0];
  }
  ValueId activate(const std::string& name, ValueId x, Activation function) {
    const ValueShape shape = shape_of(x);
    return graph_->add(Activate{.rows = shape.rows, .width = shape.cols, .function = function}, name, {x})[0];
  }
  ValueId gate(const std::string& name, ValueId gate, ValueId up, Activation function) {
    const ValueShape shape = shape_of(gate);
    return graph_->add(GatedActivation{.rows = shape.rows, .width = shape.cols, .function = function}, name,
                       {gate, up})[0];
  }
  ValueId rotary(const std::string& name, ValueId x, const RotaryShape& rotary) {
    const ValueShape shape = shape_of(x);
    return graph_->add(Rotary{.rows = shape.rows, .heads = shape.cols / rotary.head_dim, .shape = rotary}, name,
                       {x})[0];
  }
  /// See SplitColumns.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): it is moved from, in an initialiser that the check overlooks
  std::vector<ValueId> split_columns(const std::string& name, ValueId x, std::vector<Extent> widths,
                                     Extent groups = 1) {
    return graph_->add(SplitColumns{.rows = shape_of(x).rows, .groups = groups, .widths = std::move(widths)}, name,
                       {x});
  }
  ValueId attention(const std::string& name, ValueId q, ValueId k, ValueId v, Extent head_dim, double scale,
                    bool causal, const AttentionLimits& limits = {}) {
    if (limits.window > 0 && options_.prefix_tokens > 0) {
      throw ConfigError("adapters", "prefix_tokens",
                        text("expected 0 for a model whose attention has a window, which ", limits.window,
                             " keys wide would leave the prefix behind, got ", options_.prefix_tokens));
    }
    std::tie(k, v) = keys_and_values(name, k, v, causal);
    Attention attention = attention_of(q, k, head_dim, scale, causal);
    attention.window = limits.window;
    attention.score_cap = limits.score_cap;
    attention.sinks = !limits.sinks.empty();
    std::vector<ParameterId> parameters;
    if (attention.sinks) parameters.push_back(named(limits.sinks));
    return graph_->add(attention, name, {q, k, v}, parameters)[0];
  }
  /// With the relative position bias of a parameter, given by its full name, which several attentions may read.
  ValueId attention(const std::string& name, ValueId q, ValueId k, ValueId v, Extent head_dim, double scale,
                    bool causal, RelativeBias relative, const std::string& table) {
    std::tie(k, v) = keys_and_values(name, k, v, causal);
    Attention attention = attention_of(q, k, head_dim, scale, causal);
    attention.relative = relative;
    return graph_->add(attention, name, {q, k, v}, {named(table)})[0];
  }
  /// Causal, over each head's query, key and value side by side.
  ValueId fused_attention(const std::string& name, ValueId qkv, Extent head_dim, double scale, bool alibi) {
    const ValueShape shape = shape_of(qkv);
    const Extent heads = shape.cols / (3 * head_dim);
    if (options_.prefix_tokens == 0) {
      return graph_->add(FusedAttention{.query_rows = shape.rows,
                                        .rows = shape.rows,
                                        .heads = heads,
                                        .head_dim = head_dim,
                                        .scale = scale,
                                        .alibi = alibi},
                         name, {qkv})[0];
    }
    const auto split = split_columns(name + ".split_heads", qkv, {head_dim, head_dim, head_dim}, heads);
    const auto [k, v] = keys_and_values(name, split[1], split[2], true);
    Attention attention = attention_of(split[0], k, head_dim, scale, true);
    attention.alibi = alibi;
    return graph_->add(attention, name, {split[0], k, v})[0];
  }
  ValueId scale(const std::string& name, ValueId x, double factor) {
    const ValueShape shape = shape_of(x);
    return graph_->add(Scale{.rows = shape.rows, .width = shape.cols, .factor = factor}, name, {x})[0];
  }
  /// Weights of experts for each row, from the logits of a linear layer without LoRA's matrices: peft knows none there.
  ValueId route(const std::string& name, ValueId x, const RoutingShape& routing) {
    const ValueShape shape = shape_of(x);
    const std::vector<ParameterId> parameters = weight_and_bias(name);
    const Extent experts = graph_->parameter(parameters.front()).rows();
    const Linear linear{.rows = shape.rows, .in = shape.cols, .out = experts, .bias = parameters.size() > 1};
    const ValueId logits = graph_->add(linear, name, {x}, parameters)[0];
    return graph_->add(Route{.rows = shape.rows, .experts = experts, .routing = routing}, name + ".route", {logits})[0];
  }
  /// One expert's share, added to `sum`, which the first has not. `weights`: of gate, up and down, by full name.
  ValueId expert(const std::string& name, ValueId x, ValueId routing, std::optional<ValueId> sum, Expert expert,
                 const std::vector<std::string>& weights) {
    const ValueShape shape = shape_of(x);
    std::vector<ParameterId> parameters;
    for (const std::string& weight : weights) parameters.push_back(named(weight));
    expert.rows = shape.rows;
    expert.width = shape.cols;
    expert.hidden_width = graph_->parameter(parameters.front()).rows();
    expert.experts = shape_of(routing).cols;
    std::vector<ValueId> inputs = {x, routing};
    if (sum) inputs.push_back(*sum);
    return graph_->add(expert, name, inputs, parameters)[0];
  }
  /// All experts of a layer: "`name`.gate_up_proj", "`name`.gate_up_proj_bias", and the same of down.
  ValueId fused_experts(const std::string& name, ValueId x, ValueId routing, Extent top_k, const ClampedGate& gate) {
    const ValueShape shape = shape_of(x);
    std::vector<ParameterId> parameters;
    for (const char* tensor : {".gate_up_proj", ".gate_up_proj_bias", ".down_proj", ".down_proj_bias"})
      parameters.push_back(named(name + tensor));
    return graph_->add(FusedExperts{.rows = shape.rows,
                                    .width = shape.cols,
                                    .hidden_width = graph_->parameter(parameters[2]).cols(),
                                    .gate = gate,
                                    .experts = shape_of(routing).cols,
                                    .top_k = top_k},
                       name, {x, routing}, parameters)[0];
  }
  ValueId scale_rows(const std::string& name, ValueId x, ValueId scale) {
    const ValueShape shape = shape_of(x);
    return graph_->add(ScaleRows{.rows = shape.rows, .width = shape.cols}, name, {x, scale})[0];
  }
  ValueId gather_labelled(const std::string& name, ValueId x) {
    return graph_->add(GatherLabelled{.width = shape_of(x).cols}, name, {x})[0];
  }
  /// See MeanRows.
  ValueId mean_rows(const std::string& name, ValueId x) {
    const ValueShape shape = shape_of(x);
    return graph_->add(MeanRows{.rows = shape.rows, .width = shape.cols}, name, {x})[0];
  }
  /// Of predictions for labelled rows.
  void squared_error(const std::string& name, ValueId predictions) {
    graph_->add(SquaredError{.outputs = shape_of(predictions).cols}, name, {predictions});
  }
  /// With a bias where "`name`.bias" is declared. `logit_cap`: see CrossEntropyHead.
  void cross_entropy_head(const std::string& name, ValueId x, const std::string& weight, double logit_cap = 0) {
    std::vector<ParameterId> parameters = {named(weight)};
    if (const auto bias = graph_->find(name + ".bias")) parameters.push_back(*bias);
    graph_->add(CrossEntropyHead{.width = shape_of(x).cols,
                                 .vocabulary = graph_->parameter(parameters.front()).rows(),
                                 .bias = parameters.size() > 1,
                                 .logit_cap = logit_cap},
                name, {x}, parameters);
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
            .causal = causal,
            .prefix = keys.prefix};
  }

  bool is_lora_target(const std::string& name) {
    last_linear_ = name;
    bool target = options_.lora && options_.lora->targets.empty() && lora_weights_.contains(name + ".weight");
    for (std::size_t t = 0; t < target_met_.size(); ++t) {
      const std::string& pattern = options_.lora->targets[t];
      if (pattern != all_linear && !matches_glob(pattern, name) && !matches_glob("*." + pattern, name)) continue;
      target_met_[t] = target = true;
    }
    return target;
  }
  /// y + scale * B (A dropout(x)). Scaled between the two, where rows are short.
  ValueId add_lora(const std::string& name, ValueId x, ValueId y) {
    const LoraOptions& lora = *options_.lora;
    const ValueShape from = shape_of(x), to = shape_of(y);
    const ParameterId a = graph_->parameter(lora_parameter(name, 'A'), {lora.rank, from.cols}, FirstValues::uniform);
    const ParameterId b = graph_->parameter(lora_parameter(name, 'B'), {to.cols, lora.rank}, FirstValues::zero);
    ValueId low = dropout(name + ".lora_dropout", x, lora.dropout);
    low = graph_->add(Linear{.rows = from.rows, .in = from.cols, .out = lora.rank}, name + ".lora_A", {low}, {a})[0];
    if (lora.scale() != 1) low = scale(name + ".lora_scale", low, lora.scale());
    return add(name + ".lora", y,
               graph_->add(Linear{.rows = to.rows, .in = lora.rank, .out = to.cols}, name + ".lora_B", {low}, {b})[0]);
  }

  /// With the prefix of the next decoder layer in front: of causal attention, which is that of the tokens to
  /// themselves.
  std::pair<ValueId, ValueId> keys_and_values(const std::string& name, ValueId k, ValueId v, bool causal) {
    if (options_.prefix_tokens == 0 || !causal) return {k, v};
    const Extent entry = places_.prefix_entry(prefixed_layers_++);
    k = add_prefix(name + ".prefix_keys", k, entry);
    return {k, add_prefix(name + ".prefix_values", v, entry + 1)};
  }
  ValueId add_prefix(const std::string& name, ValueId x, Extent entry) {
    const ValueShape shape = shape_of(x);
    auto table = graph_->find(prefix_parameter(entry));
    if (!table)
      table = graph_->parameter(prefix_parameter(entry), {options_.prefix_tokens, shape.cols}, FirstValues::normal);
    return graph_->add(Prefix{.rows = shape.rows, .width = shape.cols, .length = options_.prefix_tokens}, name, {x},
                       {*table})[0];
  }
  ParameterId named(const std::string& name) const {
    const auto id = graph_->find(name);
    if (!id) throw ConfigError("BlockBuilder", name, "expected a declared parameter, got none of that name");
    return *id;
  }
  std::vector<ParameterId> weight_and_bias(const std::string& name) const {
    std::vector<ParameterId> ids = {named(name + ".weight")};
    if (const auto bias = graph_->find(name + ".bias")) ids.push_back(*bias);
    return ids;
  }

  TensorGraph<P>* graph_;
  GraphOptions options_;
  AdapterPlaces places_;
  std::set<std::string> lora_weights_;  ///< of the layers that get LoRA's matrices where no targets are named
  std::vector<bool> target_met_;        ///< of the LoRA targets
  std::string last_linear_;
  Extent prefixed_layers_ = 0;
};

}  // namespace greentrainer
