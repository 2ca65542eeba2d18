// Recomputation under a memory limit: the choice is the best of all that there are.

#include "greentrainer/cost/choose_recomputation.hpp"

#include <functional>
#include <map>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "support/golden_graphs.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;
constexpr Bytes element_size = 4;

/// Calls use(segments) for every choice of kept and dropped segments between the cuts.
void for_each_choice(const std::vector<OperatorId>& bounds, std::size_t at, std::vector<DroppedSegment>& chosen,
                     const std::function<void(const std::vector<DroppedSegment>&)>& use) {
  if (at + 1 == bounds.size()) return use(chosen);
  for_each_choice(bounds, at + 1, chosen, use);
  for (std::size_t to = at + 1; to < bounds.size(); ++to) {
    chosen.push_back({bounds[at], bounds[to]});
    for_each_choice(bounds, to, chosen, use);
    chosen.pop_back();
  }
}

struct Priced {
  Bytes activations = 0;
  std::int64_t cost = 0;
};
Priced price(const Graph& graph, const PassPlan& plan, const Workload& workload) {
  return {make_memory_layout(make_lifetimes(graph, plan), workload, element_size).total,
          evaluate(pass_cost(graph, plan, ExactCost<CostsAlone>{}).recomputed, workload)};
}

std::vector<OperatorId> bounds_of(const Graph& graph) {
  std::vector<OperatorId> bounds = {0};
  for (const Cut& cut : narrow_cuts(graph)) bounds.push_back(cut.op);
  return bounds;
}

/// A residual chain of sub-layers of random kinds and widths, as a decoder has them.
Graph random_chain(std::uint64_t seed, int sublayers) {
  CounterRandom random(seed, "chain");
  const Extent width = Extent{8} * (1 + random.below(4));
  Graph graph;
  graph.parameter("embedding.weight", {40, width});
  BlockBuilder<CostsAlone> b(graph);
  struct Kind {
    bool attends;
    Extent hidden;
  };
  std::vector<Kind> kinds;
  for (int i = 0; i < sublayers; ++i) kinds.push_back({random.below(3) == 0, 8 * Extent{1 + random.below(12)}});
  for (int i = 0; i < sublayers; ++i) {
    const std::string name = text("layer.", i);
    const auto& kind = kinds[static_cast<std::size_t>(i)];
    graph.parameter(name + ".norm.weight", {width});
    for (const char* projection : {".q", ".k", ".v", ".o"})
      if (kind.attends) graph.parameter(name + projection + ".weight", {width, width});
    if (kind.attends) continue;
    graph.parameter(name + ".up.weight", {kind.hidden, width});
    graph.parameter(name + ".down.weight", {width, kind.hidden});
  }
  graph.parameter("norm.weight", {width});
  ValueId x = b.embedding("embedding", {.rows = Rows::decoder_tokens});
  for (int i = 0; i < sublayers; ++i) {
    const std::string name = text("layer.", i);
    const auto& kind = kinds[static_cast<std::size_t>(i)];
    const ValueId h = b.rms_norm(name + ".norm", x, 1e-6);
    if (kind.attends) {
      const ValueId q = b.linear(name + ".q", h), k = b.linear(name + ".k", h), v = b.linear(name + ".v", h);
      const ValueId mixed = b.attention(name, q, k, v, 8, 0.5, true);
      x = b.add(name + ".residual", x, b.linear(name + ".o", mixed));
    } else {
      const ValueId up = b.activate(name + ".act", b.linear(name + ".up", h),
                                    random.below(2) == 0 ? Activation::relu : Activation::gelu_tanh);
      x = b.add(name + ".residual", x, b.linear(name + ".down", up));
    }
  }
  x = b.rms_norm("norm", b.gather_labelled("labelled_rows", x), 1e-6);
  b.cross_entropy_head("head", x, "embedding.weight");
  graph.finish();
  return graph;
}

Selection random_selection(const Graph& graph, std::uint64_t seed) {
  CounterRandom random(seed, "selection");
  const double density = std::array{1.0, 0.5, 0.1}[seed % 3];
  Selection selection = select_where(graph, [&](const Parameter&) { return random.uniform() < density; });
  if (selection.count() == 0) selection.insert(0);
  return selection;
}

bool is_chain(const Graph& graph, const Selection& selection, const Workload& workload) {
  return RecomputationSearch<CostsAlone>(graph, training_plan(graph, selection), workload, ExactCost<CostsAlone>{},
                                         element_size)
      .is_chain();
}

/// Limits between the least and the most that choices take, against the search; returns how many choices were proved.
std::size_t compare_with_all(const Graph& graph, const Selection& selection, const Workload& workload) {
  const PassPlan plan = training_plan(graph, selection);
  std::vector<Priced> all;
  std::vector<DroppedSegment> chosen;
  for_each_choice(bounds_of(graph), 0, chosen, [&](const std::vector<DroppedSegment>& segments) {
    all.push_back(price(graph, with_recomputation(graph, plan, segments), workload));
  });
  const RecomputationSearch<CostsAlone> search(graph, plan, workload, ExactCost<CostsAlone>{}, element_size);
  const auto by_memory = [](const Priced& a, const Priced& b) { return a.activations < b.activations; };
  const Bytes least = std::min_element(all.begin(), all.end(), by_memory)->activations;
  const Bytes most = price(graph, plan, workload).activations;
  std::size_t proved = 0;
  for (int tenth = 0; tenth <= 10; ++tenth) {
    const Bytes limit = least + (most - least) * tenth / 10;
    CAPTURE(limit);
    std::optional<std::int64_t> best;
    for (const Priced& one : all) {
      if (one.activations <= limit && (!best || one.cost < *best)) best = one.cost;
    }
    const auto found = search.choose(limit);
    if (found) {
      const Priced as_planned = price(graph, search.plan(*found), workload);
      CHECK(as_planned.activations == found->activations);
      CHECK(as_planned.cost == found->cost);
      CHECK(found->activations <= limit);
      CHECK(found->cost >= *best);
      if (found->optimal) {
        CHECK(found->cost == *best);
        ++proved;
      }
    }
    if (search.is_chain()) CHECK((found && found->optimal));
  }
  CHECK_FALSE(search.choose(search.is_chain() ? least - 1 : Bytes{0}));
  return proved;
}

}  // namespace

TEST_CASE("on residual chains the choice is the best of all, up to 12 cuts") {
  std::size_t chains = 0, proved = 0, most_cuts = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    const std::size_t limit = seed < 2 ? 12 : 8;
    int sublayers = seed < 2 ? 12 : 1 + static_cast<int>(seed % 8);
    while (narrow_cuts(random_chain(seed, sublayers)).size() > limit) --sublayers;
    const Graph graph = random_chain(seed, sublayers);
    most_cuts = std::max(most_cuts, narrow_cuts(graph).size());
    const Selection selection = random_selection(graph, seed);
    const Workload workload = uniform_workload(2, 16, 1 + seed % 16);
    chains += is_chain(graph, selection, workload) ? 1 : 0;
    proved += compare_with_all(graph, selection, workload);
  }
  CHECK(most_cuts == 12);
  CHECK(chains >= 45);  // the others have a cut inside of a narrow feed-forward
  CHECK(proved >= 11 * chains);
}

TEST_CASE("on the golden models the choice is the best of all where it says so, and fits everywhere") {
  std::size_t chains = 0, proved = 0;
  for (const Graph& graph : testing::golden_graphs<CostsAlone>()) {
    if (narrow_cuts(graph).size() > 9) continue;
    const Selection all = select_all(graph);
    const Workload workload = uniform_workload(3, 12, 4, 9, graph.window());
    chains += is_chain(graph, all, workload) ? 1 : 0;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      CAPTURE(seed);
      proved += compare_with_all(graph, seed == 0 ? all : random_selection(graph, seed), workload);
    }
  }
  CHECK(chains >= 5);
  CHECK(proved >= std::size_t{11 * 4} * chains);
}
