// Gradients can stop at the context in every decoder that is known, for fewer FLOPs, with the same parameters.

#include "greentrainer/graph/detached_context.hpp"

#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

Graph graph_of(const std::filesystem::path& folder) {
  return KnownArchitectures::read(ConfigReader::from_file(folder / "config.json"),
                                  [](const auto& architecture) { return architecture.template graph<CostsAlone>(); });
}

}  // namespace

TEST_CASE("every decoder's graph can be detached; its backward pass costs what labelled rows cost") {
  const ExactCost<CostsAlone> cost;
  std::size_t decoders = 0;
  for (const char* where : {"tests/golden/models", "tests/golden/architectures"}) {
    for (const auto& entry : std::filesystem::directory_iterator(testing::source_folder() / where)) {
      if (!std::filesystem::exists(entry.path() / "config.json")) continue;
      CAPTURE(entry.path().filename().string());
      const Graph graph = graph_of(entry.path());
      if (graph.has_rows(Rows::encoder_tokens)) {
        CHECK_THROWS_AS(with_detached_context(graph), ConfigError);
        continue;
      }
      const Graph detached = with_detached_context(graph), keys = with_detached_context(graph, ContextGradients::keys);
      REQUIRE(detached.parameters().size() == graph.parameters().size());
      for (std::size_t p = 0; p < graph.parameters().size(); ++p)
        CHECK(detached.parameters()[p].name == graph.parameters()[p].name);

      const Workload few = uniform_workload(4, 64, 2, 0, graph.window()),
                     all = uniform_workload(4, 64, 64, 0, graph.window());
      const auto backward = [&](const Graph& of, const Workload& workload) {
        return evaluate(backward_cost(of, select_all(of), cost), workload);
      };
      CHECK(backward(detached, few) < backward(graph, few) / 3);
      CHECK(backward(keys, few) > backward(detached, few));
      CHECK(backward(keys, few) < backward(graph, few));
      CHECK(backward(detached, all) <= backward(graph, all) + backward(graph, all) / 100);
      CHECK(evaluate(forward_cost(detached, cost), few) >= evaluate(forward_cost(graph, cost), few));
      ++decoders;
    }
  }
  CHECK(decoders > 25);
}
