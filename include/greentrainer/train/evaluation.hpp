#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/parallel/ranks.hpp"

namespace greentrainer {

/// Loss of a model on examples: the mean over their labelled tokens, which is not the mean of their means.
struct Evaluation {
  struct OfExample {
    double loss = 0;    ///< mean over its labelled tokens
    Extent tokens = 0;  ///< labelled
  };

  double loss = 0;
  Extent tokens = 0;
  std::vector<OfExample> examples;
  Flops flops = 0;

  double perplexity() const { return std::exp(loss); }
};

struct EvaluateOptions {
  Extent batch_size = 8;                               ///< examples in one pass
  std::function<bool()> should_stop = {};              ///< asked before every pass
  std::function<void(std::size_t done)> on_pass = {};  ///< told after every pass how many examples are done
  Ranks ranks = {};  ///< share the passes: all must evaluate the same; the result is that of one rank alone, to the bit
};

namespace detail {

/// Adds up an evaluation whose passes were dealt to ranks: each number is that of one rank, and 0 on the others.
inline void join_ranks(Evaluation& result, std::vector<double>& sums, Ranks& ranks) {
  std::vector<double> losses = sums;
  std::vector<std::int64_t> counts = {result.tokens, result.flops};
  for (const Evaluation::OfExample& one : result.examples) {
    losses.push_back(one.loss);
    counts.push_back(one.tokens);
  }
  ranks.sum(std::span<double>(losses), Traffic::evaluation);
  ranks.sum(std::span<std::int64_t>(counts), Traffic::evaluation);
  std::copy_n(losses.begin(), sums.size(), sums.begin());
  result.tokens = counts[0];
  result.flops = counts[1];
  for (std::size_t i = 0; i < result.examples.size(); ++i)
    result.examples[i] = {.loss = losses[sums.size() + i], .tokens = counts[2 + i]};
}

}  // namespace detail

/// Runs the forward pass alone. Throws DataError if there is no example, or none of its tokens carries loss, and
/// ConfigError for a batch size below 1. Where `should_stop` says yes, the result is that of the examples seen so far,
/// 0 where there is none; with several ranks, it is nothing as soon as one of them is stopped.
template <Backend B>
Evaluation evaluate(Model<B>& model, std::span<const Example> examples, const EvaluateOptions& options = {}) {
  expect_option(options.batch_size >= 1, "evaluate", "batch_size", "at least 1", options.batch_size);
  using T = typename B::Scalar;
  Evaluation result;
  const Schedule schedule = make_schedule(model.graph(), select_none(model.graph()));
  const LinearCost cost = forward_cost(model.graph(), ExactCost<B>{});
  Ranks ranks = options.ranks;
  std::vector<double> sums;  // of the passes
  bool stopped = false;
  Tensor<B> row_losses;
  const auto batch_size = static_cast<std::size_t>(options.batch_size);
  for (std::size_t first = 0; first < examples.size(); first += batch_size) {
    stopped = options.should_stop && options.should_stop();
    if (stopped) break;
    std::vector<std::size_t> indices(std::min(batch_size, examples.size() - first));
    std::iota(indices.begin(), indices.end(), first);
    const Batch batch = collate(examples, indices);
    check_batch(model.facts(), batch);
    if (static_cast<int>(sums.size() % static_cast<std::size_t>(ranks.size())) != ranks.rank()) {
      sums.push_back(0);
      result.examples.resize(result.examples.size() + indices.size());
      continue;
    }
    if (row_losses.size() < batch.labelled()) {
      row_losses = {};  // free before asking for more
      row_losses = Tensor<B>(model.backend(), 1, batch.labelled());
    }
    sums.push_back(model.executor().run(schedule, batch, {.row_losses = row_losses.data()}));
    result.flops += evaluate(cost, workload_of(batch, model.graph().window())) + model.executor().flops_beyond_plan();
    const std::vector<T> rows = row_losses.download();
    std::size_t row = 0;
    for (std::size_t s = 0; s < indices.size(); ++s) {
      Evaluation::OfExample one;
      for (; row < batch.labels.size() && batch.label_rows[row] < batch.decoder.offsets[s + 1]; ++row, ++one.tokens)
        one.loss += static_cast<double>(rows[row]);
      if (one.tokens > 0) one.loss /= static_cast<double>(one.tokens);
      result.examples.push_back(one);
    }
    result.tokens += batch.labelled();
    if (options.on_pass) options.on_pass(result.examples.size());
  }
  if (!ranks.is_alone()) {
    if (ranks.any(stopped)) return {};
    detail::join_ranks(result, sums, ranks);
  }
  if (result.tokens == 0 && stopped) return result;
  if (result.tokens == 0) throw DataError("evaluate", "examples", "expected at least one labelled token, got none");
  result.loss = std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(result.tokens);
  if (!std::isfinite(result.loss))
    throw NumericalError("evaluate", "loss",
                         text("expected a finite number, got ", result.loss, "; are the weights damaged?"));
  return result;
}

}  // namespace greentrainer
