#pragma once

#include <array>
#include <cstring>
#include <vector>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "support/model_variants.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

namespace greentrainer::testing {

using Counting = CountingBackend<EigenBackend<float>>;
using Bits = std::vector<std::vector<float>>;

/// Bytes of forward values that are there when the forward pass is over and are read later, by the steps alone and not
/// by lifetimes: what is computed again before it is read is not kept.
inline Bytes kept_by_plan(const TensorGraph<Counting>& graph, const PassPlan& plan, const Workload& workload) {
  enum class First { none, read, write };
  std::vector<First> first(graph.values().size(), First::none);
  const auto mark = [&](const std::vector<ValueId>& ids, BitSet set, First what) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      auto& seen = first[static_cast<std::size_t>(ids[i])];
      if (((set >> i) & 1U) != 0 && seen == First::none) seen = what;
    }
  };
  for (auto step = plan.steps.begin() + plan.turning_point(); step != plan.steps.end(); ++step) {
    const auto& op = graph.op(step->op);
    mark(op.inputs, step->inputs, First::read);
    mark(op.outputs, step->outputs, step->is_backward() ? First::read : First::write);
  }
  for (const ValueId v : plan.given) first[static_cast<std::size_t>(v)] = First::none;  // somebody else's memory
  Bytes total = 0;
  for (std::size_t v = 0; v < first.size(); ++v) {
    const auto& shape = graph.values()[v].shape;
    if (first[v] == First::read) total += shape.cols * shape.row_count(workload) * static_cast<Bytes>(sizeof(float));
  }
  return total;
}

/// Keeps what a pass hands out and gives it to another.
class StoredValues final : public PassMemory<Counting> {
 public:
  StoredValues(Counting& backend, std::size_t values) : backend_(backend), stored_(values) {}

  Matrix<float> given(ValueId value) override { return stored_[static_cast<std::size_t>(value)].matrix(); }
  void take(ValueId value, Matrix<const float> computed) override {
    auto& tensor = stored_[static_cast<std::size_t>(value)];
    tensor = Tensor<Counting>(backend_, computed.rows, computed.cols);
    backend_.copy(tensor.data(), computed.data, tensor.bytes());
  }
  Matrix<float> remembered(ValueId) override { return {}; }

 private:
  Counting& backend_;
  std::vector<Tensor<Counting>> stored_;
};

/// What running a schedule showed.
struct Run {
  Bits gradients;  ///< by parameter; empty for those not selected
  Flops flops = 0;
  Flops beyond_plan = 0;  ///< of these, what routing decided
  Bytes kept = 0;
};

/// A model, a batch, and the gradients of full backward to compare with.
class Fixture {
 public:
  Fixture(Counting& backend, TensorGraph<Counting> graph, ModelFacts facts, Batch batch)
      : backend_(backend),
        model_(backend, std::move(graph), std::move(facts)),
        batch_(std::move(batch)),
        workload_(workload_of(batch_, model_.graph().window())) {
    randomize(model_, 7);
    model_.executor().poison_dead_memory(true);
    full_ = run(make_schedule(model_.graph(), select_all(model_.graph())), select_all(model_.graph()));
  }

  const TensorGraph<Counting>& graph() const { return model_.graph(); }
  const Workload& workload() const { return workload_; }
  const Run& full() const { return full_; }

  Counting& backend() { return backend_; }

  Run run(const Schedule& schedule, const Selection& selection, PassMemory<Counting>* memory = nullptr) {
    GradientStore<Counting> gradients(backend_);
    gradients.select(graph(), select_all(graph()));  // so that a planted extra product has somewhere to go
    gradients.zero();
    backend_.reset();
    const DropoutSeed dropout{.seed = 5, .pass = 3};
    model_.executor().run(schedule, batch_,
                          {.gradient_scale = 1.0 / static_cast<double>(batch_.labelled()),
                           .gradients = &gradients,
                           .dropout = &dropout,
                           .memory = memory});
    Run result{.gradients = Bits(graph().parameters().size()),
               .flops = backend_.flops(),
               .beyond_plan = model_.executor().flops_beyond_plan(),
               .kept = model_.executor().observed().kept_bytes};
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph().parameters().size()); ++id) {
      if (selection.contains(id)) result.gradients[static_cast<std::size_t>(id)] = gradients[id].download();
    }
    return result;
  }

  bool gradients_agree(const Run& run, const Selection& selection) const {
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph().parameters().size()); ++id) {
      const auto i = static_cast<std::size_t>(id);
      if (!selection.contains(id)) continue;
      const auto& a = run.gradients[i];
      const auto& b = full_.gradients[i];
      if (a.size() != b.size() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0) return false;
    }
    return true;
  }
  bool flops_agree(const Run& run, const PassPlan& plan) const {
    const ExactCost<Counting> cost;
    return run.flops == evaluate(pass_cost(graph(), plan, cost).total(), workload_) + run.beyond_plan;
  }
  bool memory_agrees(const Run& run, const PassPlan& plan) const {
    return run.kept == kept_by_plan(graph(), plan, workload_);
  }

 private:
  Counting& backend_;
  Model<Counting> model_;
  Batch batch_;
  Workload workload_;
  Run full_;
};

inline Selection random_selection(const TensorGraph<Counting>& graph, std::uint64_t seed) {
  CounterRandom random(seed, "selection");
  const double density = std::array{0.02, 0.1, 0.4, 0.9}[seed % 4];
  Selection selection = select_where(graph, [&](const Parameter&) { return random.uniform() < density; });
  if (selection.count() == 0)
    selection.insert(static_cast<ParameterId>(random.below(static_cast<std::uint32_t>(graph.parameters().size()))));
  return selection;
}

/// One of each of the golden architectures.
inline std::vector<Fixture> architecture_fixtures(Counting& backend) {
  std::vector<Fixture> all;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "tests/golden/architectures")) {
    if (!entry.is_directory()) continue;
    KnownArchitectures::read(ConfigReader::from_file(entry.path() / "config.json"), [&](const auto& architecture) {
      all.emplace_back(backend, architecture.template graph<Counting>(), facts_of(architecture),
                       random_batch(80, {7, 12, 1, 5}, 3));
      return 0;
    });
  }
  return all;
}

inline std::vector<Fixture> fixtures(Counting& backend) {
  std::vector<Fixture> all;
  for (const auto& variant : model_variants()) {
    const auto folder = source_folder() / "tests" / "golden" / "models" / variant.model;
    const auto config = ConfigReader::from_file(folder / "config.json");
    KnownArchitectures::read(config, [&](const auto& architecture) {
      const ModelFacts facts = facts_of(architecture);
      all.emplace_back(backend, architecture.template graph<Counting>(variant.options), facts,
                       random_batch(80, {7, 12, 1, 5}, 3, facts.target_shift ? 6 : 0));
      return 0;
    });
  }
  all.emplace_back(backend, encoder_decoder_graph<Counting>(50, 16, 4), ModelFacts{"encoder-decoder", 50, 64, {}},
                   random_batch(50, {7, 3, 10}, 4, 6));
  return all;
}

}  // namespace greentrainer::testing
