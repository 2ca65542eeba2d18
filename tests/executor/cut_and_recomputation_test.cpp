// A pass that recomputes values, or is given those of a frozen part below a cut, computes the gradients of the plain
// pass to the bit; it costs and keeps exactly what its plan says.

#include <doctest/doctest.h>

#include "executor/pass_fixture.hpp"
#include "greentrainer/graph/cut.hpp"
#include "greentrainer/graph/recomputation.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/llama.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// Some operators of the graph, ascending: any of them, not only those of the residual stream.
std::vector<OperatorId> random_cuts(const TensorGraph<Counting>& graph, std::uint64_t seed) {
  CounterRandom random(seed, "cuts");
  const double density = std::array{0.02, 0.1, 0.5}[seed % 3];
  std::vector<OperatorId> cuts;
  for (OperatorId op = 1; op < static_cast<OperatorId>(graph.operators().size()); ++op) {
    if (random.uniform() < density) cuts.push_back(op);
  }
  return cuts;
}

/// Some of the segments between them, the others kept; on every third seed all.
std::vector<DroppedSegment> random_segments(const TensorGraph<Counting>& graph, std::uint64_t seed) {
  std::vector<DroppedSegment> segments = segments_between(random_cuts(graph, seed));
  CounterRandom random(seed, "kept");
  if (seed % 3 != 0) std::erase_if(segments, [&](const DroppedSegment&) { return random.uniform() < 0.3; });
  return segments;
}

std::vector<Cut> cuts_below(const TensorGraph<Counting>& graph, const Selection& selection) {
  std::vector<Cut> cuts = narrow_cuts(graph);
  const OperatorId first = first_trained(graph, selection);
  std::erase_if(cuts, [&](const Cut& cut) { return cut.op > first; });
  return cuts;
}

/// The passes below and above a cut, one after the other.
struct CutRun {
  Run run;
  Flops planned = 0;
};
CutRun run_cut(Fixture& fixture, const PassPlan& training, const Cut& cut, const Selection& selection) {
  const auto& graph = fixture.graph();
  const Schedule below = make_schedule(graph, plan_below(graph, cut));
  const Schedule above = make_schedule(graph, plan_above(graph, training, cut));
  StoredValues values(fixture.backend(), graph.values().size());
  const Flops below_flops = fixture.run(below, select_none(graph), &values).flops;
  CutRun result{.run = fixture.run(above, selection, &values), .planned = 0};
  CHECK(fixture.memory_agrees(result.run, above.plan));
  result.run.flops += below_flops;
  const ExactCost<Counting> cost;
  result.planned = evaluate(pass_cost(graph, below.plan, cost).total() + pass_cost(graph, above.plan, cost).total(),
                            fixture.workload());
  return result;
}

}  // namespace

TEST_CASE("random selections and recomputations: gradients to the bit, FLOPs and kept bytes to the unit") {
  Counting backend(2);
  std::size_t checked = 0, recomputed = 0;
  for (Fixture& fixture : fixtures(backend)) {
    for (std::uint64_t seed = 0; seed < 100; ++seed, ++checked) {
      CAPTURE(seed);
      const Selection selection = random_selection(fixture.graph(), seed);
      const PassPlan plan = with_recomputation(fixture.graph(), training_plan(fixture.graph(), selection),
                                               random_segments(fixture.graph(), seed));
      const Run run = fixture.run(make_schedule(fixture.graph(), plan), selection);
      REQUIRE(fixture.gradients_agree(run, selection));
      REQUIRE(fixture.flops_agree(run, plan));
      REQUIRE(fixture.memory_agrees(run, plan));
      for (const auto& step : plan.steps) recomputed += step.phase == PassPlan::Phase::recompute ? 1 : 0;
    }
  }
  CHECK(checked >= 1000);
  CHECK(recomputed > checked);
}

TEST_CASE("random selections, cuts and recomputations above them: gradients to the bit, FLOPs to the unit") {
  Counting backend(2);
  std::size_t checked = 0;
  for (Fixture& fixture : fixtures(backend)) {
    const auto& graph = fixture.graph();
    for (std::uint64_t seed = 0; seed < 80; ++seed) {
      CAPTURE(seed);
      Selection selection = random_selection(graph, seed);
      const std::vector<Cut> all = narrow_cuts(graph);
      REQUIRE_FALSE(all.empty());
      const OperatorId floor = all[seed % all.size()].op;  // train nothing below one of the cuts
      Selection above = select_none(graph);
      for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
        const auto& uses = graph.uses(id);
        if (selection.contains(id) &&
            std::all_of(uses.begin(), uses.end(), [&](const auto& use) { return use.op >= floor; }))
          above.insert(id);
      }
      if (above.count() == 0) continue;
      const std::vector<Cut> cuts = cuts_below(graph, above);
      REQUIRE_FALSE(cuts.empty());
      const Cut& cut = cuts[seed / 2 % cuts.size()];
      PassPlan plan = training_plan(graph, above);
      if (seed % 2 == 1) plan = with_recomputation(graph, plan, random_segments(graph, seed));
      const bool random_below = std::any_of(graph.operators().begin(), graph.operators().begin() + cut.op,
                                            [](const auto& node) { return node.op->kind() == "dropout"; });
      const CutRun result = run_cut(fixture, plan, cut, above);
      REQUIRE(result.run.flops == result.planned);
      if (!random_below) REQUIRE(fixture.gradients_agree(result.run, above));
      ++checked;
    }
  }
  CHECK(checked >= 300);
}

TEST_CASE("planted faults in recomputation are seen") {
  Counting backend(2);
  for (Fixture& fixture : fixtures(backend)) {
    const Selection all = select_all(fixture.graph());
    const std::vector<Cut> cuts = narrow_cuts(fixture.graph());
    REQUIRE(cuts.size() >= 2);
    const PassPlan plan = with_recomputation(fixture.graph(), training_plan(fixture.graph(), all),
                                             segments_between({cuts[cuts.size() / 2].op}));

    SUBCASE("a value that is read and not computed again") {
      PassPlan planted = plan;
      const auto again = std::find_if(planted.steps.begin(), planted.steps.end(), [](const PassPlan::Step& step) {
        return step.phase == PassPlan::Phase::recompute;
      });
      REQUIRE(again != planted.steps.end());
      planted.steps.erase(again);  // the forward pass's value is then kept, or a later step lacks its input
      const Run run = fixture.run(make_schedule(fixture.graph(), planted), all);
      CHECK_FALSE((fixture.flops_agree(run, plan) && fixture.memory_agrees(run, plan)));
    }
    SUBCASE("a place that is freed before its last reader") {
      Schedule planted = make_schedule(fixture.graph(), plan);
      for (auto& storage : planted.lifetimes.storages) {
        if (storage.gradient || storage.born <= planted.lifetimes.turning_point || storage.dies <= storage.born + 1)
          continue;
        storage.dies = storage.born;
      }
      CHECK_FALSE(fixture.gradients_agree(fixture.run(planted, all), all));
    }
  }
}

TEST_CASE("a plan that reads what nobody computed, and one that trains below its cut, are refused") {
  Counting backend(1);
  auto all = fixtures(backend);
  const auto& graph = all.front().graph();
  const PassPlan training = training_plan(graph, select_all(graph));
  const std::vector<Cut> cuts = narrow_cuts(graph);
  CHECK_THROWS_AS(plan_above(graph, training, cuts.back()), ConfigError);
  PassPlan evaluation = evaluation_plan(graph);
  evaluation.steps.erase(evaluation.steps.begin());
  CHECK_THROWS_AS(make_lifetimes(graph, evaluation), ConfigError);
  CHECK_THROWS_AS(with_recomputation(graph, training, segments_between({5, 5})), ConfigError);
  CHECK_THROWS_AS(
      with_recomputation(graph, training, segments_between({static_cast<OperatorId>(graph.operators().size())})),
      ConfigError);
  CHECK_THROWS_AS(all.front().run(make_schedule(graph, plan_above(graph, evaluation_plan(graph), cuts.front())),
                                  select_none(graph)),
                  ConfigError);
}

TEST_CASE("narrow cuts are crossed by the residual stream alone") {
  Counting backend(1);
  const auto config = ConfigReader::from_file(source_folder() / "tests/golden/models/llama-gqa-tied/config.json");
  const auto graph = Llama::read(config).graph<Counting>();
  const Extent width = graph.value(graph.op(0).outputs.front()).shape.cols;
  std::size_t of_tokens = 0, of_labelled = 0;
  for (const Cut& cut : narrow_cuts(graph)) {
    REQUIRE(cut.values.size() == 1);
    CHECK(graph.value(cut.values.front()).shape.cols == width);
    ++(graph.value(cut.values.front()).shape.rows == Rows::decoder_tokens ? of_tokens : of_labelled);
  }
  CHECK(of_tokens == 3);    // below, between and above the sub-layers of the first block
  CHECK(of_labelled >= 2);  // above those of the last
}
