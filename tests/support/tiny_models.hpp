#pragma once

#include <string>
#include <vector>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer::testing {

/// Sequences of random tokens; the first third of each carries no loss.
inline Batch random_batch(Extent vocabulary, const std::vector<Extent>& lengths, std::uint64_t seed,
                          Extent source_length = 0) {
  CounterRandom random(seed, "batch");
  Batch batch;
  const auto id = [&] { return static_cast<Index>(random.below(static_cast<std::uint32_t>(vocabulary))); };
  for (const Extent length : lengths) {
    for (Extent t = 0; t < length; ++t) {
      if (t >= length / 3) {
        batch.label_rows.push_back(static_cast<Index>(batch.decoder.ids.size()));
        batch.labels.push_back(id());
      }
      batch.decoder.ids.push_back(id());
      batch.decoder.positions.push_back(static_cast<Index>(t));
    }
    batch.decoder.offsets.push_back(static_cast<Index>(batch.decoder.ids.size()));
    if (source_length == 0) continue;
    for (Extent t = 0; t < source_length + length % 3; ++t) {
      batch.encoder.ids.push_back(id());
      batch.encoder.positions.push_back(static_cast<Index>(t));
    }
    batch.encoder.offsets.push_back(static_cast<Index>(batch.encoder.ids.size()));
  }
  return batch;
}

/// Weights of size 0.2 and norm weights near 1, from the seed.
template <Backend B>
void randomize(Model<B>& model, std::uint64_t seed) {
  using T = typename B::Scalar;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const Parameter& p = model.graph().parameter(id);
    CounterRandom random(seed, "weights", static_cast<std::uint64_t>(id));
    const bool norm = p.name.find("norm") != std::string::npos && p.name.ends_with(".weight");
    std::vector<T> values(static_cast<std::size_t>(p.size()));
    for (T& v : values) v = static_cast<T>((norm ? 1.0 : 0.0) + 0.2 * random.normal());
    model.parameters()[id].upload(values);
  }
}

/// A one-layer encoder and two decoder layers with self-attention, cross-attention and a gated feed-forward: the shape
/// of T5, of which the graph must need no change. The embedding is shared by both streams and the head.
template <class P>
TensorGraph<P> encoder_decoder_graph(Extent vocabulary, Extent width, Extent heads) {
  TensorGraph<P> graph;
  graph.parameter("shared.weight", {vocabulary, width});
  const auto matrix = [&](const std::string& name) { graph.parameter(name + ".weight", {width, width}); };
  const auto norm = [&](const std::string& name) { graph.parameter(name + ".weight", {width}); };
  const auto declare = [&](const std::string& block, std::initializer_list<const char*> attentions) {
    for (const char* attention : attentions) {
      for (const char* projection : {".q", ".k", ".v", ".o"}) matrix(block + attention + projection);
      norm(block + attention + ".norm");
    }
    for (const char* projection : {".wi_0", ".wi_1", ".wo"}) matrix(block + "ff" + projection);
    norm(block + "ff.norm");
  };
  declare("encoder.0.", {"self"});
  norm("encoder.final.norm");
  declare("decoder.0.", {"self", "cross"});
  declare("decoder.1.", {"self", "cross"});
  norm("decoder.final.norm");

  BlockBuilder<P> b(graph);
  const double epsilon = 1e-6;
  const auto attend = [&](const std::string& name, ValueId x, ValueId memory, bool causal) {
    const ValueId h = b.rms_norm(name + ".norm", x, epsilon);
    const ValueId source = memory < 0 ? h : memory;
    const ValueId q = b.linear(name + ".q", h);
    const ValueId k = b.linear(name + ".k", source);
    const ValueId v = b.linear(name + ".v", source);
    return b.add(name + ".residual", x, b.linear(name + ".o", b.attention(name, q, k, v, width / heads, 0.5, causal)));
  };
  const auto feed_forward = [&](const std::string& name, ValueId x) {
    const ValueId h = b.rms_norm(name + ".norm", x, epsilon);
    const ValueId gate = b.linear(name + ".wi_0", h);
    const ValueId up = b.linear(name + ".wi_1", h);
    return b.add(name + ".residual", x, b.linear(name + ".wo", b.gate(name + ".act", gate, up, Activation::gelu_tanh)));
  };
  ValueId e = b.embedding("shared", {.rows = Rows::encoder_tokens});
  e = feed_forward("encoder.0.ff", attend("encoder.0.self", e, -1, false));
  const ValueId memory = b.rms_norm("encoder.final.norm", e, epsilon);
  ValueId d = b.embedding("shared", {.rows = Rows::decoder_tokens});
  for (const std::string layer : {"decoder.0.", "decoder.1."}) {
    d = attend(layer + "self", d, -1, true);
    d = attend(layer + "cross", d, memory, false);
    d = feed_forward(layer + "ff", d);
  }
  d = b.rms_norm("decoder.final.norm", b.gather_labelled("labelled_rows", d), epsilon);
  b.cross_entropy_head("head", d, "shared.weight");
  b.finish();
  return graph;
}

}  // namespace greentrainer::testing
