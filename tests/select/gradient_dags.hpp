#pragma once

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "greentrainer/select/selection_problem.hpp"

// Gradient DAGs as networks have them, for tests and benchmarks: nodes in backward order, with either small random or
// real costs.
namespace greentrainer::testing {

/// Builds a DAG; how costs and importances come about is the subject of the derived class.
class DagBuilder {
 public:
  virtual ~DagBuilder() = default;
  GradientDag dag;

  int node(double typical_cost, std::vector<int> needs) {
    dag.nodes.push_back({node_cost(typical_cost), std::move(needs)});
    return static_cast<int>(dag.nodes.size()) - 1;
  }
  int item(double typical_cost, std::vector<int> needs) {
    dag.items.push_back({item_cost(typical_cost), importance(), std::move(needs)});
    return static_cast<int>(dag.items.size()) - 1;
  }
  /// Makes a block (see GradientDag::worth) of the items from number `first` on.
  void close_block(std::size_t first) {
    for (; first < dag.items.size(); ++first) dag.items[first].block = blocks_;
    ++blocks_;
  }

 protected:
  virtual std::int64_t node_cost(double typical) = 0;
  virtual std::int64_t item_cost(double typical) = 0;
  virtual double importance() = 0;

 private:
  int blocks_ = 0;
};

/// Costs 0 .. largest and importances -2 .. 20, all whole, whatever the operator: for comparison with exhaustive
/// search.
class SmallDagBuilder : public DagBuilder {
 public:
  SmallDagBuilder(std::mt19937& random, int largest) : random_(random), cost_(0, largest), importance_(-2, 20) {}

 protected:
  std::int64_t node_cost(double) override { return cost_(random_); }
  std::int64_t item_cost(double) override { return cost_(random_); }
  double importance() override { return importance_(random_); }

 private:
  std::mt19937& random_;
  std::uniform_int_distribution<int> cost_;
  std::uniform_int_distribution<int> importance_;
};

/// Costs as given, exactly; importances log-normal, a tenth of them negative.
class RealDagBuilder : public DagBuilder {
 public:
  explicit RealDagBuilder(unsigned seed) : random_(seed) {}

 protected:
  std::int64_t node_cost(double typical) override { return static_cast<std::int64_t>(typical); }
  std::int64_t item_cost(double typical) override { return static_cast<std::int64_t>(typical); }
  double importance() override {
    const double magnitude = std::lognormal_distribution<double>(0.0, 1.5)(random_);
    return std::uniform_real_distribution<double>(0, 1)(random_) < 0.1 ? -magnitude : magnitude;
  }

 private:
  std::mt19937 random_;
};

/// Tokens T, model width D, feed-forward width F, vocabulary V, sum of squared lengths S (FLOPs below: 2 a
/// multiply-add).
struct Widths {
  double tokens = 2048;
  double model = 768;
  double feed_forward = 3072;
  double vocabulary = 50272;
  double squares = 2048.0 * 512;

  double linear(double in, double out) const { return 2 * tokens * in * out; }
  double scores() const { return 2 * squares * model; }
};

/// What the gradient of the residual stream needs so far.
using Stream = std::vector<int>;

/// Two sub-layer styles: with the norm on the branch (its gradient comes last), or on the stream after the sum (its
/// gradient comes first).
enum class NormStyle { pre, post };

namespace build {

inline Stream post_norm(DagBuilder& b, const Widths& w, const Stream& stream) {
  b.item(3 * w.tokens * w.model, stream);
  b.item(w.tokens * w.model, stream);
  return {b.node(8 * w.tokens * w.model, stream)};
}

inline Stream pre_norm(DagBuilder& b, const Widths& w, const Stream& branch) {
  b.item(3 * w.tokens * w.model, branch);
  b.item(w.tokens * w.model, branch);
  return {b.node(8 * w.tokens * w.model, branch)};
}

/// Weight and bias of one operator.
inline void linear_items(DagBuilder& b, const Widths& w, double in, double out, const Stream& needs) {
  b.item(w.linear(in, out), needs);
  b.item(w.tokens * out, needs);
}

inline Stream feed_forward(DagBuilder& b, const Widths& w, NormStyle style, Stream stream, bool gated = false) {
  if (style == NormStyle::post) stream = post_norm(b, w, stream);
  const double d = w.model;
  const double f = w.feed_forward;
  linear_items(b, w, f, d, stream);
  const int second = b.node(w.linear(f, d), stream);
  const int activation = b.node(4 * w.tokens * f, {second});
  linear_items(b, w, d, f, {activation});
  Stream branch;
  if (gated) {
    const int up = b.node(w.tokens * f, {second});
    linear_items(b, w, d, f, {up});
    branch = {b.node(w.linear(d, f), {activation}), b.node(w.linear(d, f), {up})};
  } else {
    branch = {b.node(w.linear(d, f), {activation})};
  }
  if (style == NormStyle::pre) return pre_norm(b, w, branch);
  branch.push_back(stream.front());  // the residual connection around the branch
  return branch;
}

/// Self-attention, or cross-attention: then what the encoder's gradient needs is added to `memory`.
inline Stream attention(DagBuilder& b, const Widths& w, NormStyle style, Stream stream, Stream* memory = nullptr,
                        std::vector<int>* scores = nullptr) {
  if (style == NormStyle::post) stream = post_norm(b, w, stream);
  const double d = w.model;
  linear_items(b, w, d, d, stream);
  const int output = b.node(w.linear(d, d), stream);
  const int probabilities = b.node(w.scores(), stream);
  const int grad_v = b.node(w.scores(), {output, probabilities});
  linear_items(b, w, d, d, {grad_v});
  const int grad_scores = b.node(w.scores(), {probabilities, output});
  if (scores != nullptr) scores->push_back(grad_scores);
  const int grad_q = b.node(w.scores(), {grad_scores});
  linear_items(b, w, d, d, {grad_q});
  const int grad_k = b.node(w.scores(), {grad_scores, output});  // with a need that follows already
  linear_items(b, w, d, d, {grad_k});
  Stream branch{b.node(w.linear(d, d), {grad_q})};
  Stream& keys = memory != nullptr ? *memory : branch;
  keys.push_back(b.node(w.linear(d, d), {grad_k}));
  keys.push_back(b.node(w.linear(d, d), {grad_v}));
  if (style == NormStyle::pre) return pre_norm(b, w, branch);
  branch.push_back(stream.front());
  return branch;
}

}  // namespace build

/// A decoder-only model with tied embedding. Layers are blocks; what is outside of them is not of any.
inline void add_decoder(DagBuilder& b, const Widths& w, int layers, NormStyle style, bool gated = false) {
  Stream stream;
  const int head = b.node(w.linear(w.model, w.vocabulary), {});
  stream = build::pre_norm(b, w, {head});
  for (int layer = 0; layer < layers; ++layer) {
    const std::size_t first = b.dag.items.size();
    stream = build::feed_forward(b, w, style, stream, gated);
    stream = build::attention(b, w, style, stream);
    b.close_block(first);
  }
  b.item(w.tokens * w.model, stream);                                    // positions
  b.item(w.linear(w.model, w.vocabulary) + w.tokens * w.model, stream);  // tied: one item, both uses
}

/// An encoder-decoder: the encoder gets its gradient through every cross-attention. `shared_bias` adds T5's relative
/// position bias, one item that needs the scores of all self-attentions of its stack.
inline void add_encoder_decoder(DagBuilder& b, const Widths& w, int encoder_layers, int decoder_layers, NormStyle style,
                                bool shared_bias) {
  Stream memory;
  Stream stream = build::pre_norm(b, w, {b.node(w.linear(w.model, w.vocabulary), {})});
  std::vector<int> scores;
  for (int layer = 0; layer < decoder_layers; ++layer) {
    const std::size_t first = b.dag.items.size();
    stream = build::feed_forward(b, w, style, stream);
    stream = build::attention(b, w, style, stream, &memory);
    stream = build::attention(b, w, style, stream, nullptr, &scores);
    b.close_block(first);
  }
  if (shared_bias) b.item(w.squares, scores);
  scores.clear();
  std::vector<int> both = stream;
  stream = build::pre_norm(b, w, memory);
  for (int layer = 0; layer < encoder_layers; ++layer) {
    const std::size_t first = b.dag.items.size();
    stream = build::feed_forward(b, w, style, stream);
    stream = build::attention(b, w, style, stream, nullptr, &scores);
    b.close_block(first);
  }
  if (shared_bias) b.item(w.squares, scores);
  both.insert(both.end(), stream.begin(), stream.end());
  b.item(w.linear(w.model, w.vocabulary), both);
}

/// Cost of everything in the DAG.
inline std::int64_t total_cost(const GradientDag& dag) {
  std::int64_t sum = 0;
  for (const auto& node : dag.nodes) sum += node.cost;
  for (const auto& item : dag.items) sum += item.cost;
  return sum;
}

}  // namespace greentrainer::testing
