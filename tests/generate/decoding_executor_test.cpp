// A step from the cache computes what the whole sequence would, for what one token costs.

#include "greentrainer/generate/decoding_executor.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/t5.hpp"
#include "support/model_variants.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

using namespace greentrainer;

namespace {

template <Backend B>
Model<B> random_model(B& backend, const testing::ModelVariant& variant) {
  const auto config =
      ConfigReader::from_file(testing::source_folder() / "tests/golden/models" / variant.model / "config.json");
  return KnownArchitectures::read(config, [&](const auto& architecture) {
    Model<B> model(backend, architecture.template graph<B>(variant.options), facts_of(architecture));
    testing::randomize(model, 5);
    return model;
  });
}

std::vector<Index> random_ids(CounterRandom& random, std::size_t count) {
  std::vector<Index> ids;
  while (ids.size() < count) ids.push_back(static_cast<Index>(random.below(80)));
  return ids;
}

/// Three prompts of different lengths, and their sources if the model reads some; two slots each.
struct Prompts {
  explicit Prompts(const ModelFacts& facts) {
    CounterRandom random(3, "prompts");
    for (const std::size_t length : {4, 9, 1}) {
      tokens.append(random_ids(random, length));
      if (!facts.target_shift) continue;
      source_of.push_back(random_ids(random, 12 - length));
      sources.append(source_of.back());
    }
  }
  std::vector<Index> prompt(std::size_t p) const {
    return {tokens.ids.begin() + tokens.offsets[p], tokens.ids.begin() + tokens.offsets[p + 1]};
  }

  PackedTokens tokens, sources;
  std::vector<std::vector<Index>> source_of;
};

/// Logits behind a sequence, by running all of it.
template <Backend B>
std::vector<typename B::Scalar> logits_behind(Model<B>& model, const std::vector<Index>& ids,
                                              const std::vector<Index>* source) {
  PackedTokens tokens, sources;
  tokens.append(ids);
  if (source != nullptr) sources.append(*source);
  const auto all = model.logits(tokens, sources);
  return {all.end() - static_cast<std::ptrdiff_t>(model.facts().vocabulary), all.end()};
}

}  // namespace

TEST_CASE_TEMPLATE("a step gives the logits of the whole sequence, through branching and dropping out", B,
                   EigenBackend<double>, OpaqueBackend<EigenBackend<float>>) {
  using T = typename B::Scalar;
  B backend(2);
  for (const testing::ModelVariant& variant : testing::model_variants()) {
    CAPTURE(variant.model);
    CAPTURE(variant.options.prefix_tokens);
    auto model = random_model(backend, variant);
    const Prompts prompts(model.facts());
    DecodingExecutor<B> executor(model);
    for (int repetition = 0; repetition < 2; ++repetition) {  // the second time in memory that is there already
      std::map<Index, std::vector<Index>> open;               // by slot
      const auto check = [&](const std::vector<T>& logits) {
        const auto vocabulary = static_cast<std::size_t>(model.facts().vocabulary);
        REQUIRE(logits.size() == open.size() * vocabulary);
        std::size_t row = 0;
        for (const auto& [slot, ids] : open) {
          CAPTURE(slot);
          const auto expected = logits_behind(
              model, ids, prompts.source_of.empty() ? nullptr : &prompts.source_of[static_cast<std::size_t>(slot / 2)]);
          const std::span<const T> got(logits.data() + row++ * vocabulary, vocabulary);
          CHECK(testing::relative_difference(got, std::span<const T>(expected)) < (sizeof(T) == 8 ? 1e-12 : 1e-5));
        }
      };
      for (Index p = 0; p < 3; ++p) open[2 * p] = prompts.prompt(static_cast<std::size_t>(p));
      check(executor.start(prompts.tokens, prompts.sources, {.slots_a_prompt = 2, .steps = 6}));
      CounterRandom random(7, "tokens");
      const auto step = [&] {
        std::vector<Index> slots, ids = random_ids(random, open.size());
        for (auto& [slot, sequence] : open) {
          sequence.push_back(ids[slots.size()]);
          slots.push_back(slot);
        }
        return executor.step(slots, ids);
      };
      open[1] = open[0];  // a prompt goes on in both of its slots
      check(step());
      open[5] = open[4];  // and another after its first token
      executor.copy_slot(4, 5);
      check(step());
      open.erase(2);
      check(step());
      open[0] = open[1];
      executor.copy_slot(1, 0);
      check(step());
      open.erase(4);
      open.erase(0);
      check(step());
      check(step());
      CHECK_THROWS_AS(step(), ShapeError);
    }
  }
}

TEST_CASE("prompts and steps cost what the cost model says") {
  using B = CountingBackend<EigenBackend<double>>;
  B backend(1);
  for (const testing::ModelVariant& variant : testing::model_variants()) {
    CAPTURE(variant.model);
    CAPTURE(variant.options.prefix_tokens);
    auto model = random_model(backend, variant);
    const Prompts prompts(model.facts());
    DecodingExecutor<B> executor(model);
    const LinearCost cost = forward_cost(model.graph(), ExactCost<B>{});
    const Extent vocabulary = model.facts().vocabulary;
    const auto expected = [&](const Workload& workload) {  // without the loss
      return evaluate(cost, workload) - workload[Measure::labelled_tokens] * (3 * vocabulary + 3);
    };
    backend.reset();
    executor.start(prompts.tokens, prompts.sources, {.slots_a_prompt = 1, .steps = 8});
    CHECK(backend.flops() == expected(workload_of(Batch{.decoder = prompts.tokens,
                                                        .encoder = prompts.sources,
                                                        .label_rows = {3, 12, 13},  // the last of each prompt
                                                        .labels = {}},
                                                  model.graph().window())));

    std::vector<Index> slots = {0, 1, 2};
    for (Extent t = 1; t <= 8; ++t) {
      if (t == 5) slots = {0, 2};
      Workload one;
      one.window = model.graph().window();
      one[Measure::decoder_tokens] = one[Measure::labelled_tokens] = static_cast<Extent>(slots.size());
      for (const Index slot : slots) {
        const auto length = [&](const PackedTokens& tokens) {
          return tokens.offsets[static_cast<std::size_t>(slot) + 1] - tokens.offsets[static_cast<std::size_t>(slot)];
        };
        const Extent seen = length(prompts.tokens) + t;
        for (const Measure m : {Measure::decoder_pairs, Measure::labelled_pairs}) one[m] += seen;
        for (const Measure m : {Measure::window_pairs, Measure::labelled_window_pairs})
          one[m] += std::min(seen, one.window);
        if (prompts.source_of.empty()) continue;
        for (const Measure m : {Measure::cross_pairs, Measure::labelled_cross_pairs}) one[m] += length(prompts.sources);
      }
      backend.reset();
      executor.step(slots, std::vector<Index>(slots.size(), 3));
      CHECK(backend.flops() == expected(one));
      CHECK(backend.memory().allocations <= (t == 1 ? 3 : 0));
    }
  }
}

TEST_CASE("a plan caches keys and values, and runs an encoder once") {
  const auto config =
      ConfigReader::from_file(testing::source_folder() / "tests/golden/models/t5-tied-relu/config.json");
  const T5 t5 = T5::read(config);
  const auto graph = t5.graph<ExactCost<EigenBackend<float>>>();
  const DecodingPlan plan = make_decoding_plan(graph);
  const auto name_of_value = [&](ValueId v) { return graph.op(graph.value(v).producer).name; };
  CHECK(plan.cached.size() == 6);
  CHECK(name_of_value(plan.cached[0]) == "decoder.block.0.layer.0.SelfAttention.k");
  CHECK(name_of_value(plan.cached[1]) == "decoder.block.0.layer.0.SelfAttention.v");
  CHECK(plan.from_source.size() == 6);
  CHECK(name_of_value(plan.from_source[2]) == "decoder.block.1.layer.1.EncDecAttention.k");
  for (const auto& step : plan.token.steps) CHECK_FALSE(graph.op(step.op).name.starts_with("encoder."));
  CHECK(plan.token.steps.back().op == static_cast<OperatorId>(graph.operators().size()) - 1);
}
