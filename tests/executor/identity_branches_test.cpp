// Residual branches that pass the identity: losses stay, gradients are those of x + f(x.detach()) in PyTorch, and what
// is executed is what is planned.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "executor/labelled_passes.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/graph/residual_branches.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "support/golden_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

DetachedInputs random_branches(const TensorGraph<Counting>& graph, CounterRandom& random) {
  DetachedInputs detached;
  const double share = random.uniform();
  for (const ResidualBranch& branch : residual_branches(graph)) {
    if (random.uniform() < share) detach(detached, branch);
  }
  return detached;
}

/// Whether each gradient of a selection has the bits that it has where everything is trained.
bool same_bits(const Run& some, const Run& all, const Selection& selection) {
  for (std::size_t p = 0; p < selection.mask().size(); ++p) {
    if (!selection.mask()[p]) continue;
    const auto &a = some.gradients[p], &b = all.gradients[p];
    if (a.size() != b.size() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0) return false;
  }
  return true;
}

/// Of so many random selections and sets of branches for each model, how many were found right.
int check_random_passes(std::vector<Fixture>& models, int sets, int selections_each) {
  int checked = 0;
  for (std::size_t m = 0; m < models.size(); ++m) {
    CAPTURE(m);
    Fixture& fixture = models[m];
    const auto& graph = fixture.graph();
    CounterRandom random(m, "branches");
    for (int d = 0; d < sets; ++d) {
      CAPTURE(d);
      const DetachedInputs detached = random_branches(graph, random);
      const Selection everything(select_all(graph).mask(), detached);
      const Schedule whole = make_schedule(graph, everything);
      const Run all = fixture.run(whole, everything);
      REQUIRE(fixture.flops_agree(all, whole.plan));
      REQUIRE(fixture.gradients_agree(all, everything) == detached.empty());
      const GradientDag dag = gradient_dag_of(graph, ExactCost<Counting>{}, fixture.workload(), detached);
      for (int s = 0; s < selections_each; ++s, ++checked) {
        CAPTURE(s);
        const Selection drawn = random_selection(graph, static_cast<std::uint64_t>(s + sets * d));
        const Selection selection(drawn.mask(), detached);
        const Schedule schedule = make_schedule(graph, selection);
        const Run run = fixture.run(schedule, selection);
        REQUIRE(same_bits(run, all, selection));
        REQUIRE(fixture.flops_agree(run, schedule.plan));
        REQUIRE(fixture.memory_agrees(run, schedule.plan));
        const auto planned =
            evaluate(pass_cost(graph, schedule.plan, ExactCost<Counting>{}).backward, fixture.workload());
        REQUIRE(cost_of(dag, selection.mask()) == planned);
      }
    }
  }
  return checked;
}

}  // namespace

TEST_CASE("gradients are those of PyTorch with the stream detached where branches that pass the identity read it") {
  EigenBackend<double> backend(2);
  for (const std::string name : {"llama-gqa-tied", "opt-post", "bloom", "t5-tied-relu"}) {
    CAPTURE(name);
    const GoldenModel golden(name);
    const SafetensorsFile expected(golden.folder / "passing.safetensors");
    auto model = load_pretrained(golden.folder, backend);
    const auto& graph = model.graph();
    DetachedInputs detached;
    const auto branches = residual_branches(graph);
    for (std::size_t b = 0; b < branches.size(); ++b) {
      if (b % 3 != 1) detach(detached, branches[b]);  // as make_passing_goldens.py
    }
    const Batch batch = collate(golden.examples, std::vector<std::size_t>{0, 1, 2});
    GradientStore<EigenBackend<double>> gradients(backend);
    const Selection all(select_all(graph).mask(), detached);
    gradients.select(graph, all);
    gradients.zero();
    const double scale = 1.0 / static_cast<double>(batch.labelled());
    const double loss = scale * model.executor().run(make_schedule(graph, all), batch,
                                                     {.gradient_scale = scale, .gradients = &gradients});
    CHECK(loss == doctest::Approx(golden.json["loss"].get<double>()).epsilon(1e-6));
    int others = 0;
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      const std::string& parameter = graph.parameter(id).name;
      CAPTURE(parameter);
      const auto size = static_cast<std::size_t>(graph.parameter(id).size());
      const std::vector<bool> zero = zero_gradients(golden, parameter, size);
      std::vector<double> theirs(size);
      expected.read_as<double>("grad." + parameter, theirs);
      const auto ours = gradients[id].download();
      if (std::count(zero.begin(), zero.end(), false) > 0)
        CHECK(relative_difference(only(zero, false, ours), only(zero, false, theirs)) < 1e-9);
      CHECK(largest(only(zero, true, ours)) < 1e-12);
      others += relative_difference(golden.tensor("grad." + parameter), theirs) > 0.01 ? 1 : 0;
    }
    CHECK(others > 5);  // the exact gradients are others
  }
}

TEST_CASE("random selections and branches: gradients to the bit, FLOPs and kept bytes to the unit") {
  Counting backend(2);
  auto all = fixtures(backend);
  CHECK(check_random_passes(all, 5, 20) >= 1000);
}

TEST_CASE("random selections and branches of every other architecture, as exactly") {
  Counting backend(2);
  auto all = architecture_fixtures(backend);
  CHECK(check_random_passes(all, 3, 4) >= 500);
}
