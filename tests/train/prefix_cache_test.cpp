// A run with a cached prefix is the run without it, bit for bit, at the FLOPs that it reports.

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;

std::vector<Example> examples_for(const Model<B>& model, std::size_t count) {
  std::vector<Example> examples = counting_examples(count);
  for (std::size_t i = 0; model.facts().target_shift && i < examples.size(); ++i) {
    examples[i].source_ids.assign(3 + i % 4, static_cast<Index>(i % 90));
    examples[i].source_ids.back() = 1;
  }
  return examples;
}

struct Run {
  TrainingReport report;
  std::vector<std::vector<float>> weights;
  Flops counted = 0;
};

template <class Choice>
Run run(const std::string& name, const Choice& choice, FitOptions options, int threads = 2) {
  B backend(threads);
  auto model = tiny_model(backend, name);
  const auto examples = examples_for(model, 11);
  Trainer<B> trainer(model, choice(model), AdamWOptions{.learning_rate = 1e-3});
  backend.reset();
  Run result;
  result.report = trainer.fit(examples, options);
  result.counted = backend.flops();
  result.weights = weights_of(model);
  return result;
}

Flops reported(const TrainingReport& r) {
  return r.flops.train + r.flops.importance + r.flops.optimizer + r.flops.evaluation;
}

const auto last_layer = [](const Model<B>& model) { return select_last_layers(model.graph(), model.facts(), 1); };
const auto everything = [](const Model<B>& model) { return select_all(model.graph()); };
constexpr Bytes room = Bytes{1} << 30;

}  // namespace

TEST_CASE("a cached run equals the uncached one to the bit and counts what it spared") {
  for (const char* name : {"llama-gqa-tied", "opt-pre", "opt-post", "bloom", "t5-tied-relu"}) {
    CAPTURE(name);
    FitOptions options{.epochs = 3, .batch_size = 2, .gradient_accumulation = 2};
    const Run plain = run(name, last_layer, options);
    options.prefix_cache = PrefixCacheMode::memory;
    options.prefix_cache_limit = room;
    const Run cached = run(name, last_layer, options, 3);
    CHECK(cached.weights == plain.weights);
    REQUIRE(cached.report.history.size() == plain.report.history.size());
    for (std::size_t s = 0; s < plain.report.history.size(); ++s)
      CHECK(cached.report.history[s].loss == plain.report.history[s].loss);
    CHECK(cached.report.loss_after == plain.report.loss_after);
    CHECK(cached.counted == reported(cached.report));
    CHECK(plain.report.flops.saved_by_cache == 0);
    CHECK(cached.report.flops.train + cached.report.flops.saved_by_cache == plain.report.flops.train);
    CHECK(cached.report.flops.saved_by_cache > 0);
    CHECK_FALSE(cached.report.selections.front().cached_below.empty());
  }
}

TEST_CASE("examples beyond the limit are computed each time, with the same result") {
  FitOptions options{.epochs = 3, .batch_size = 2};
  const Run plain = run("llama-gqa-tied", last_layer, options);
  options.prefix_cache = PrefixCacheMode::memory;
  options.prefix_cache_limit = room;
  const Run whole = run("llama-gqa-tied", last_layer, options);
  options.prefix_cache_limit = 4000;
  const Run part = run("llama-gqa-tied", last_layer, options);
  CHECK(part.weights == plain.weights);
  CHECK(part.counted == reported(part.report));
  CHECK(part.report.flops.saved_by_cache > 0);
  CHECK(part.report.flops.saved_by_cache < whole.report.flops.saved_by_cache);
  options.prefix_cache_limit = 0;
  const Run none = run("llama-gqa-tied", last_layer, options);
  CHECK(none.weights == plain.weights);
  CHECK(none.report.flops.saved_by_cache == 0);
}

TEST_CASE("where the embedding trains there is no prefix to cache") {
  FitOptions options{.epochs = 2, .batch_size = 2, .prefix_cache = PrefixCacheMode::memory};
  const Run all = run("llama-gqa-tied", everything, options);
  CHECK(all.report.flops.saved_by_cache == 0);
  CHECK(all.report.selections.front().cached_below.empty());
}

TEST_CASE("a budget is kept with the cache priced in, at ratios below the cost of the forward pass, too") {
  const auto green = [](double rho) {
    return [rho](const Model<B>&) {
      return GreenOptions{.flops_ratio = rho, .reselect_every = {4, Interval::Unit::epochs}};
    };
  };
  FitOptions options{.epochs = 8, .batch_size = 2, .prefix_cache = PrefixCacheMode::memory};
  for (const char* name : {"llama-gqa-tied", "opt-pre", "bloom", "t5-tied-relu"}) {
    CAPTURE(name);
    for (const double rho : {0.5, 0.7}) {
      CAPTURE(rho);
      const Run cached = run(name, green(rho), options);
      CHECK(cached.report.ratio() <= rho);
      CHECK(cached.report.selections.size() == 2);
      CHECK(cached.counted == reported(cached.report));
      for (const SelectionRecord& s : cached.report.selections) CHECK(s.cost <= s.budget);
      // What was chosen trains the same without the cache, for more FLOPs.
      FitOptions first = options;
      first.epochs = 4;
      const auto the_same = [&](const Model<B>& model) {
        return select_listed(model.graph(), cached.report.selections.front().names);
      };
      const Run with = run(name, the_same, first);
      first.prefix_cache = PrefixCacheMode::off;
      const Run without = run(name, the_same, first);
      CHECK(with.weights == without.weights);
      CHECK(with.report.flops.train + with.report.flops.saved_by_cache == without.report.flops.train);
    }
  }
  FitOptions uncached = options;
  uncached.prefix_cache = PrefixCacheMode::off;
  CHECK_THROWS_AS(run("llama-gqa-tied", green(0.3), uncached), ConfigError);
  const Run below = run("llama-gqa-tied", green(0.3), options);
  CHECK(below.report.ratio() <= 0.3);
  CHECK(below.report.flops.saved_by_cache > 0);
}

TEST_CASE("planted faults in the cache are seen: a stale entry, an entry of another example") {
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const auto examples = examples_for(model, 4);
  const Selection selection = last_layer(model);
  const std::vector<std::size_t> numbers = {0, 1}, others = {2, 3};
  const auto cuts = cacheable_cuts(model.graph());
  std::optional<Cut> cut;
  for (const Cut& c : cuts) {
    if (c.op <= first_trained(model.graph(), selection)) cut = c;
  }
  REQUIRE(cut);
  GradientStore<B> gradients(backend);
  gradients.select(model.graph(), selection);
  gradients.zero();
  const auto loss = [&](TrainingPass<B>& pass, const std::vector<std::size_t>& made_of,
                        const std::vector<std::size_t>& named) {
    return pass.run(collate(examples, made_of), examples, named, {.gradients = &gradients}).loss_sum;
  };
  TrainingPass<B> cached(model), plain(model);
  cached.select(selection, cut, room);
  plain.select(selection, std::nullopt, 0);
  CHECK(loss(cached, numbers, numbers) == loss(plain, numbers, numbers));
  CHECK(cached.cache().holds(1));
  CHECK(loss(cached, numbers, numbers) == loss(plain, numbers, numbers));

  SUBCASE("weights below the cut that change") {
    auto& embedding = model.parameters()[0];
    std::vector<float> moved = embedding.download();
    for (float& w : moved) w *= 1.5F;
    embedding.upload(moved);
    CHECK(loss(cached, numbers, numbers) != loss(plain, numbers, numbers));
    cached.forget();
    cached.select(selection, cut, room);
    CHECK(loss(cached, numbers, numbers) == loss(plain, numbers, numbers));
  }
  SUBCASE("the values of other examples") {
    const std::vector<std::size_t> swapped = {1, 0};
    CHECK(loss(cached, swapped, swapped) == loss(plain, swapped, swapped));
    cached.cache();
    const Batch batch = collate(examples, others);
    TrainingPass<B> wrong(model);
    wrong.select(selection, cut, room);
    loss(wrong, others, others);
    const std::vector<Example> replaced = {examples[0], examples[1], examples[1], examples[0]};
    const double stale = wrong.run(collate(replaced, others), replaced, others, {.gradients = &gradients}).loss_sum;
    const double right = plain.run(collate(replaced, others), replaced, others, {.gradients = &gradients}).loss_sum;
    CHECK(stale != right);
  }
}
