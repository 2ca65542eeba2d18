#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/executor/executor.hpp"
#include "greentrainer/graph/batch_numbers.hpp"
#include "greentrainer/ops/embedding.hpp"

namespace greentrainer {

/// What a model says about itself beside its graph.
struct ModelFacts {
  std::string model_type = {};
  Extent vocabulary = 0;
  Extent max_positions = 0;
  std::vector<std::string> layer_prefixes = {};  ///< of the parameters' names, from the input to the output
  std::optional<TargetShift> target_shift = {};  ///< of encoder-decoder models alone
  std::optional<LinearCost> full_cost =
      {};  ///< of full fine-tuning, where the graph has more than the model: that of the model alone
  Extent original_positions = 0;  ///< in longer sequences all tokens have another rotary embedding; 0: there is none
  Extent classes = 0;             ///< that labels name; 0: they are tokens of the vocabulary
  BatchNumbers numbers = {};      ///< that a batch must bring

  /// Numbers that the head computes for a labelled row: logits, or predictions.
  Extent outputs() const { return numbers.targets > 0 ? numbers.targets : classes > 0 ? classes : vocabulary; }
};

template <class Architecture>
ModelFacts facts_of(const Architecture& architecture) {
  ModelFacts facts{.model_type = std::string(architecture.model_type),
                   .vocabulary = architecture.vocabulary(),
                   .max_positions = architecture.max_positions()};
  if constexpr (requires { architecture.original_positions(); })
    facts.original_positions = architecture.original_positions();
  if constexpr (requires { architecture.target_shift(); }) facts.target_shift = architecture.target_shift();
  for (Extent i = 0; i < architecture.layers(); ++i) facts.layer_prefixes.push_back(architecture.layer_prefix(i));
  return facts;
}

/// The parameters of the last `count` transformer blocks (the paper's FT-Top2 with 2). Throws ConfigError unless the
/// model has so many.
template <class P>
Selection select_last_layers(const TensorGraph<P>& graph, const ModelFacts& facts, std::size_t count) {
  expect_option(count >= 1 && count <= facts.layer_prefixes.size(), "select_last_layers", "count",
                text("1 to ", facts.layer_prefixes.size(), ", the model's layers"), count);
  const std::size_t first = facts.layer_prefixes.size() - count;
  return select_where(graph, [&](const Parameter& p) {
    return std::any_of(facts.layer_prefixes.begin() + static_cast<std::ptrdiff_t>(first), facts.layer_prefixes.end(),
                       [&](const std::string& prefix) { return p.name.starts_with(prefix); });
  });
}

/// Throws DataError unless a batch has the features and targets that the model reads, finite ones.
inline void check_numbers(const ModelFacts& facts, const Batch& batch) {
  const auto check = [](const char* what, const std::vector<float>& numbers, Extent each, Extent rows) {
    if (static_cast<Extent>(numbers.size()) != each * rows) {
      throw DataError("batch", what,
                      text("expected ", each, " for each of ", rows, " rows, got ", numbers.size(), " in all"));
    }
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (std::isfinite(numbers[i])) continue;
      throw DataError("batch", what,
                      text("expected finite numbers, got ", numbers[i], " in row ", static_cast<Extent>(i) / each));
    }
  };
  check("features", batch.features, facts.numbers.features, batch.decoder.tokens());
  check("targets", batch.targets, facts.numbers.targets, batch.labelled());
}

/// Throws DataError unless every id is below the vocabulary and every label is a class, no sequence is longer than the
/// model's positions, an encoder-decoder has a source for every sequence, another model none, and rows have the
/// numbers that the model reads.
inline void check_batch(const ModelFacts& facts, const Batch& batch) {
  const Extent sources = facts.target_shift ? batch.decoder.sequences() : 0;
  if (batch.encoder.sequences() != sources) {
    throw DataError("batch", "sources",
                    text("expected ", sources, " of ", batch.decoder.sequences(), " sequences for model_type ",
                         facts.model_type, ", got ", batch.encoder.sequences()));
  }
  const auto check_ids = [&](const std::vector<Index>& ids, Extent count, const char* what) {
    for (const Index id : ids) {
      if (id < 0 || id >= count) throw DataError("batch", what, text("expected 0 to ", count - 1, ", got ", id));
    }
  };
  check_ids(batch.decoder.ids, facts.vocabulary, "token id");
  check_ids(batch.encoder.ids, facts.vocabulary, "token id");
  if (facts.classes > 0)
    check_ids(batch.labels, facts.classes, "label");
  else
    check_ids(batch.labels, facts.vocabulary, "token id");
  check_numbers(facts, batch);
  const auto check_positions = [&](const std::vector<Index>& positions) {
    for (const Index position : positions) {
      if (position < 0 || position >= facts.max_positions) {
        throw DataError("batch", "sequence",
                        text("expected at most ", facts.max_positions, " tokens, got more; lower max_tokens"));
      }
    }
  };
  check_positions(batch.decoder.positions);
  check_positions(batch.encoder.positions);
}

/// A graph with weights on a backend, ready to run. Movable: what it is made of stays where it is, and lives as long as
/// anything that shares it. The backend must outlive it.
template <Backend B>
class Model {
 public:
  using BackendType = B;
  using T = typename B::Scalar;

  /// Weights are allocated, not set.
  Model(B& backend, TensorGraph<B> graph, ModelFacts facts)
      : state_(std::make_shared<State>(backend, std::move(graph), std::move(facts))) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  Model(Model&&) noexcept = default;
  Model& operator=(Model&&) noexcept = default;

  /// Another handle to the same graph and the same weights, for an object that works on a model for longer than a
  /// call.
  Model share() { return Model(state_); }

  /// Another graph over the same weights: what is trained through either is seen by both. Throws ConfigError unless the
  /// graph's parameters are this one's, of the same storage formats.
  Model with_graph(TensorGraph<B> graph, ModelFacts facts) {
    const auto& ours = this->graph().parameters();
    const auto same = [](const Parameter& a, const Parameter& b) {
      return a.name == b.name && a.shape == b.shape && a.format == b.format;
    };
    if (!std::equal(ours.begin(), ours.end(), graph.parameters().begin(), graph.parameters().end(), same))
      throw ConfigError("with_graph", "graph", "expected the parameters of the model's own graph, got others");
    return Model(std::make_shared<State>(backend(), std::move(graph), std::move(facts), state_->parameters));
  }

  B& backend() { return state_->backend; }
  const TensorGraph<B>& graph() const { return state_->graph; }
  const ModelFacts& facts() const { return state_->facts; }
  ParameterStore<B>& parameters() { return *state_->parameters; }
  const ParameterStore<B>& parameters() const { return *state_->parameters; }
  Executor<B>& executor() { return state_->executor; }

  /// Logits of every token of every sequence, (tokens, vocabulary), row-major on the host. An encoder-decoder's
  /// sequences have a source each.
  std::vector<T> logits(const PackedTokens& tokens, const PackedTokens& sources = {}) {
    Batch batch{.decoder = tokens, .encoder = sources};
    for (Index row = 0; row < static_cast<Index>(tokens.tokens()); ++row) batch.label_rows.push_back(row);
    batch.labels.assign(tokens.ids.size(), 0);
    return outputs(std::move(batch));
  }
  /// What the head computes for a batch's labelled rows, (labelled, ModelFacts::outputs), row-major on the host:
  /// logits, or predictions. Targets may be left out; labels and targets that are there are not read but for checks.
  std::vector<T> outputs(Batch batch) {
    if (batch.targets.empty())
      batch.targets.resize(static_cast<std::size_t>(batch.labelled() * facts().numbers.targets));
    check_batch(facts(), batch);
    Tensor<B> outputs(backend(), batch.labelled(), facts().outputs());
    executor().run(make_schedule(graph(), evaluation_plan(graph())), batch, {.logits = outputs.matrix()});
    return outputs.download();
  }

 private:
  struct State {
    State(B& backend_, TensorGraph<B> graph_, ModelFacts facts_, std::shared_ptr<ParameterStore<B>> weights = nullptr)
        : backend(backend_),
          graph(std::move(graph_)),
          facts(std::move(facts_)),
          parameters(weights != nullptr ? std::move(weights) : std::make_shared<ParameterStore<B>>(backend, graph)),
          executor(backend, graph, *parameters) {}
    B& backend;
    TensorGraph<B> graph;
    ModelFacts facts;
    std::shared_ptr<ParameterStore<B>> parameters;
    Executor<B> executor;
  };
  explicit Model(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;
};

}  // namespace greentrainer
