// A run with a cached prefix is the run without it, bit for bit, at the FLOPs that it reports.

#include <cmath>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <sys/resource.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::TemporaryFolder;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;

std::vector<Example> examples_for(const Model<B>& model, std::size_t count) {
  std::vector<Example> examples = counting_examples(count, static_cast<std::size_t>(model.facts().vocabulary));
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

Cut highest_cut_below(const Model<B>& model, const Selection& selection) {
  std::optional<Cut> cut;
  for (const Cut& c : cacheable_cuts(model.graph())) {
    if (c.op <= first_trained(model.graph(), selection)) cut = c;
  }
  REQUIRE(cut);
  return *cut;
}

}  // namespace

TEST_CASE("20 steps with a cache in memory or on disk equal those without to the bit, for any number of threads") {
  TemporaryFolder folder;
  for (const char* name :
       {"llama-gqa-tied", "opt-pre", "opt-post", "bloom", "t5-tied-relu", "../architectures/gemma2"}) {
    CAPTURE(name);
    FitOptions options{.steps = 20, .batch_size = 2, .gradient_accumulation = 2, .prefix_cache_folder = folder.path()};
    const Run plain = run(name, last_layer, options);
    CHECK(plain.report.flops.saved_by_cache == 0);
    CHECK(plain.report.selections.front().not_cached.empty());
    const auto check = [&](const Run& cached) {
      CHECK(cached.weights == plain.weights);
      REQUIRE(cached.report.history.size() == 20);
      for (std::size_t s = 0; s < 20; ++s) CHECK(cached.report.history[s].loss == plain.report.history[s].loss);
      CHECK(cached.report.loss_after == plain.report.loss_after);
      CHECK(cached.counted == reported(cached.report));
      CHECK(cached.report.flops.train + cached.report.flops.saved_by_cache == plain.report.flops.train);
      CHECK(cached.report.flops.saved_by_cache > 0);
      const SelectionRecord& selection = cached.report.selections.front();
      CHECK_FALSE(selection.cached_below.empty());
      CHECK(selection.not_cached.empty());
      CHECK(selection.cached_bytes == cached.report.cached_bytes);
      CHECK(cached.report.warnings.empty());
    };
    for (const PrefixCacheMode mode : {PrefixCacheMode::memory, PrefixCacheMode::disk}) {
      options.prefix_cache = mode;
      for (int threads = 1; threads <= 8; ++threads) {
        CAPTURE(threads);
        options.prefix_cache_type = threads % 2 == 0 ? std::optional(DType::float32) : std::nullopt;
        check(run(name, last_layer, options, threads));
      }
    }
  }
  CHECK(folder.entries() == 0);
}

TEST_CASE("entries of bfloat16 take half the bytes, and the same FLOPs; losses differ by their rounding") {
  TemporaryFolder folder;
  for (const char* name : {"llama-gqa-tied", "opt-pre", "bloom", "t5-tied-relu"}) {
    CAPTURE(name);
    FitOptions options{.steps = 20, .batch_size = 2, .prefix_cache = PrefixCacheMode::memory};
    const Run exact = run(name, last_layer, options);
    options.prefix_cache_type = DType::bfloat16;
    const Run rounded = run(name, last_layer, options), threads = run(name, last_layer, options, 5);
    CHECK(2 * rounded.report.cached_bytes == exact.report.cached_bytes);
    CHECK(rounded.report.flops.train == exact.report.flops.train);
    CHECK(rounded.counted == reported(rounded.report));
    CHECK(rounded.weights != exact.weights);
    CHECK(rounded.weights == threads.weights);
    for (std::size_t s = 0; s < 20; ++s) {
      const double loss = exact.report.history[s].loss;
      CHECK(std::abs(rounded.report.history[s].loss - loss) < 4e-3 * loss);
    }
    options.prefix_cache = PrefixCacheMode::disk;
    options.prefix_cache_folder = folder.path();
    const Run disk = run(name, last_layer, options);
    CHECK(disk.weights == rounded.weights);
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
  CHECK(part.report.cached_bytes <= 4000);
  CHECK(part.report.cached_bytes > 2000);
  CHECK(part.report.flops.saved_by_cache > 0);
  CHECK(part.report.flops.saved_by_cache < whole.report.flops.saved_by_cache);
  options.prefix_cache_limit = 0;
  const Run none = run("llama-gqa-tied", last_layer, options);
  CHECK(none.weights == plain.weights);
  CHECK(none.report.flops.saved_by_cache == 0);
}

TEST_CASE("a cache on disk that is cut short while the run goes on is named; losses and weights stay what they are") {
  TemporaryFolder folder;
  FitOptions options{.epochs = 4, .batch_size = 2, .prefix_cache_folder = folder.path()};
  const Run plain = run("llama-gqa-tied", last_layer, options);
  options.prefix_cache = PrefixCacheMode::disk;
  const Run whole = run("llama-gqa-tied", last_layer, options);
  std::size_t damaged = 0;
  std::vector<std::string> warnings;
  options.on_warning = [&](const std::string& warning) { warnings.push_back(warning); };
  options.on_step = [&](const StepRecord& record) {
    if (record.step != 9) return;
    for (const auto& file : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      const auto target = std::filesystem::read_symlink(file.path(), error).string();
      if (target.find(folder.path().string()) == std::string::npos) continue;
      REQUIRE(::truncate(file.path().c_str(), 3000) == 0);
      ++damaged;
    }
  };
  const Run cut = run("llama-gqa-tied", last_layer, options);
  CHECK(damaged == 1);
  CHECK(cut.weights == plain.weights);
  CHECK(cut.report.loss_after == plain.report.loss_after);
  CHECK(cut.counted == reported(cut.report));
  CHECK(cut.report.flops.train > whole.report.flops.train);
  CHECK(cut.report.flops.train + cut.report.flops.saved_by_cache == plain.report.flops.train);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings == cut.report.warnings);
  CHECK(warnings.front().find(folder.path().string() + ", entry of example ") != std::string::npos);
}

TEST_CASE("a disk that fills up while the run goes on is named; what is there stays in use, and no result changes") {
  TemporaryFolder folder;
  FitOptions options{.epochs = 4, .batch_size = 2, .prefix_cache_folder = folder.path()};
  const Run plain = run("opt-pre", last_layer, options);
  options.prefix_cache = PrefixCacheMode::disk;
  const Run whole = run("opt-pre", last_layer, options);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  options.on_selection = [&](const SelectionRecord&) {  // the room was promised; as a quota that is lowered meanwhile
    const rlimit limit{4000, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  };
  const Run full = run("opt-pre", last_layer, options);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(full.weights == plain.weights);
  CHECK(full.report.loss_after == plain.report.loss_after);
  CHECK(full.counted == reported(full.report));
  CHECK(full.report.flops.saved_by_cache > 0);
  CHECK(full.report.flops.saved_by_cache < whole.report.flops.saved_by_cache);
  CHECK(full.report.cached_bytes <= 4000);
  REQUIRE(full.report.warnings.size() == 1);
  CHECK(full.report.warnings.front().find(folder.path().string() + ": expected to write on") != std::string::npos);
}

TEST_CASE("room that the disk does not have is refused before the first step, but not for a cache of no use") {
  TemporaryFolder folder;
  FitOptions options{
      .epochs = 2, .batch_size = 2, .prefix_cache = PrefixCacheMode::disk, .prefix_cache_folder = folder.path()};
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit limit{1000, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const std::string refused = greentrainer::testing::error_of<ConfigError>([&] {
    FitOptions no_step = options;
    no_step.on_step = [](const StepRecord&) { FAIL("a step was taken"); };
    run("opt-pre", last_layer, no_step);
  });
  const Run all = run("opt-pre", everything, options);
  options.prefix_cache_limit = 900;
  const Run within = run("opt-pre", last_layer, options);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(refused.find("prefix_cache_folder: " + folder.path().string() + ": expected room for") != std::string::npos);
  CHECK(all.report.warnings.empty());
  CHECK(within.report.warnings.empty());
}

TEST_CASE("a folder that cannot hold the cache is refused before the first step") {
  FitOptions options{.epochs = 2, .batch_size = 2, .prefix_cache = PrefixCacheMode::disk};
  CHECK_THROWS_AS(run("llama-gqa-tied", last_layer, options), ConfigError);
  options.prefix_cache_folder = "/nonexistent";
  options.on_step = [](const StepRecord&) { FAIL("a step was taken"); };
  CHECK_THROWS_AS(run("llama-gqa-tied", last_layer, options), ConfigError);
  options.prefix_cache = PrefixCacheMode::memory;
  options.prefix_cache_type = DType::float16;
  CHECK_THROWS_AS(run("llama-gqa-tied", last_layer, options), ConfigError);
}

TEST_CASE("where the embedding trains there is no prefix to cache") {
  FitOptions options{.epochs = 2, .batch_size = 2, .prefix_cache = PrefixCacheMode::memory};
  const Run all = run("llama-gqa-tied", everything, options);
  CHECK(all.report.flops.saved_by_cache == 0);
  CHECK(all.report.selections.front().cached_below.empty());
  CHECK(all.report.selections.front().not_cached.find("embed_tokens.weight is trained") != std::string::npos);
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

TEST_CASE("planted faults in the cache are seen: weights below the cut that changed, examples that are others") {
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const auto examples = examples_for(model, 6);
  const Selection selection = last_layer(model);
  const std::vector<std::size_t> numbers = {0, 1};
  const Cut cut = highest_cut_below(model, selection);
  GradientStore<B> gradients(backend);
  gradients.select(model.graph(), selection);
  gradients.zero();
  const auto loss = [&](TrainingPass<B>& pass, const std::vector<Example>& of) {
    return pass.run(collate(of, numbers), of, numbers, {.gradients = &gradients});
  };
  TrainingPass<B> cached(model), plain(model);
  cached.keep_prefixes(std::make_unique<MemoryPrefixStore>(), {}, room);
  cached.select(selection, cut);
  plain.select(selection, std::nullopt);
  CHECK_THROWS_AS(plain.select(selection, cut), ConfigError);
  CHECK(loss(cached, examples).loss_sum == loss(plain, examples).loss_sum);
  CHECK(cached.cache()->store().holds(1));
  CHECK(loss(cached, examples).loss_sum == loss(plain, examples).loss_sum);

  SUBCASE("stale entries give another loss, until they are forgotten") {
    auto& embedding = model.parameters()[0];
    std::vector<float> moved = embedding.download();
    for (float& w : moved) w *= 1.5F;
    embedding.upload(moved);
    CHECK(loss(cached, examples).loss_sum != loss(plain, examples).loss_sum);
    cached.forget();
    cached.select(selection, cut);
    CHECK(loss(cached, examples).loss_sum == loss(plain, examples).loss_sum);
  }
  SUBCASE("another example under the same number, of the same length or another, is computed") {
    std::vector<Example> others = {examples[5], examples[3]};
    REQUIRE(others[0].input_ids.size() == examples[0].input_ids.size());
    const auto again = loss(cached, others);
    CHECK(again.saved == 0);
    CHECK(again.loss_sum == loss(plain, others).loss_sum);
    const auto kept = loss(cached, others);
    CHECK(kept.saved > 0);
    CHECK(kept.loss_sum == again.loss_sum);
  }
}

TEST_CASE("a planted stale entry after another selection gives another loss: nothing but clearing keeps it out") {
  struct Forgetless final : PrefixStore {  // does not forget when the cut is another
    explicit Forgetless(bool keeps) : planted(keeps) {}
    bool planted;
    MemoryPrefixStore inner;
    Bytes beside_each() const override { return 0; }
    Bytes bytes() const override { return inner.bytes(); }
    bool holds(std::size_t example) const override { return inner.holds(example); }
    void put(const PrefixKey& key, std::vector<std::byte> entry) override { inner.put(key, std::move(entry)); }
    std::optional<std::span<const std::byte>> get(const PrefixKey& key, std::size_t size) override {
      return inner.get(key, size);
    }
    void clear() override {
      if (!planted) inner.clear();
    }
  };
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const auto examples = examples_for(model, 4);
  const std::vector<std::size_t> numbers = {0, 1, 2, 3};
  const Selection selection = last_layer(model);
  const std::vector<Cut> cuts = cacheable_cuts(model.graph());
  REQUIRE(cuts.size() >= 2);
  REQUIRE(cuts[1].op <= first_trained(model.graph(), selection));
  GradientStore<B> gradients(backend);
  gradients.select(model.graph(), selection);
  gradients.zero();
  for (const bool planted : {false, true}) {
    TrainingPass<B> pass(model);
    pass.keep_prefixes(std::make_unique<Forgetless>(planted), {}, room);
    const auto loss = [&] {
      return pass.run(collate(examples, numbers), examples, numbers, {.gradients = &gradients}).loss_sum;
    };
    pass.select(selection, cuts[0]);
    const double first = loss();
    CHECK(loss() == first);
    pass.select(selection, cuts[1]);
    CHECK((loss() == first) == !planted);
  }
}

TEST_CASE("a planted entry of another example gives another loss: nothing but its key keeps it out") {
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const auto examples = examples_for(model, 6);
  const Selection selection = last_layer(model);
  const Cut cut = highest_cut_below(model, selection);
  // Gives the values of one example for those of another, whatever its key says.
  struct Mistaken final : PrefixStore {
    MemoryPrefixStore inner;
    std::map<std::uint64_t, std::vector<std::byte>> entries;
    Bytes beside_each() const override { return 0; }
    Bytes bytes() const override { return inner.bytes(); }
    bool holds(std::size_t example) const override { return inner.holds(example); }
    void put(const PrefixKey& key, std::vector<std::byte> entry) override {
      entries[key.example] = entry;
      inner.put(key, std::move(entry));
    }
    std::optional<std::span<const std::byte>> get(const PrefixKey& key, std::size_t size) override {
      const auto entry = inner.get(key, size);
      return entry && key.example == 5 ? entries.at(0) : entry;
    }
    void clear() override { inner.clear(); }
  };
  TrainingPass<B> pass(model);
  pass.keep_prefixes(std::make_unique<Mistaken>(), {}, room);
  pass.select(selection, cut);
  GradientStore<B> gradients(backend);
  gradients.select(model.graph(), selection);
  gradients.zero();
  const std::vector<std::size_t> numbers = {0, 5};
  const auto loss = [&] {
    return pass.run(collate(examples, numbers), examples, numbers, {.gradients = &gradients}).loss_sum;
  };
  const double right = loss();
  CHECK(std::abs(loss() - right) > 1e-3);
}
