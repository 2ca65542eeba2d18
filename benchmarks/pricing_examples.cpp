// What it takes to price the steps of a selection over many examples, by model shape: the processor time of
// each part of choosing but importance. From each config.json alone; weights are neither read nor allocated.
//   build/native/bin/pricing_examples CONFIG_FOLDER...
// 100,000 examples of 16 to 512 tokens, 1 to 64 of them labelled, batches of 4, one selection for two epochs.

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/select/budgeted_selection.hpp>
#include <greentrainer/select/greedy_selector.hpp>
#include <greentrainer/train/cache_forecast.hpp>
#include <iostream>
#include <vector>

#include "model_shapes.hpp"

namespace {

namespace gt = greentrainer;

using B = gt::EigenBackend<float>;
constexpr std::size_t count = 100'000;
constexpr int repetitions = 5;

std::vector<gt::Example> make_examples(bool with_encoder) {
  gt::CounterRandom random(1, "lengths");
  std::vector<gt::Example> examples(count);
  for (gt::Example& example : examples) {
    const std::uint32_t tokens = 16 + random.below(497);
    const std::uint32_t labelled = std::min(tokens, 1 + random.below(64));
    const std::uint32_t target = with_encoder ? labelled : tokens;
    example.input_ids.assign(target, 0);
    example.labels.assign(target, gt::ignore_label);
    std::fill(example.labels.end() - labelled, example.labels.end(), 0);
    if (with_encoder) example.source_ids.assign(tokens, 0);
  }
  return examples;
}

double cpu_milliseconds() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// The least milliseconds of processor time that a call took: of one thread, and less than those of a clock depend on
/// what else the machine does.
template <class Call>
double milliseconds_of(const Call& call) {
  double least = 1e300;
  for (int run = 0; run < repetitions; ++run) {
    const double start = cpu_milliseconds();
    call();
    least = std::min(least, cpu_milliseconds() - start);
  }
  return least;
}

template <class Architecture>
void report(const std::string& name, const Architecture& architecture) {
  const auto graph = architecture.template graph<B>();
  const bool with_encoder = requires { architecture.target_shift(); };
  const std::vector<gt::Example> examples = make_examples(with_encoder);
  const auto importance = gt::made_up_importance(graph.parameters().size(), 1);
  const gt::FitOptions options{.epochs = 2, .batch_size = 4};
  const gt::TrainingBatches batches(examples, options);
  const gt::PrefixRoom room{.element_size = sizeof(float), .limit = options.prefix_cache_limit};
  const std::vector<gt::Cut> cuts = gt::cacheable_cuts(graph);

  const double lengths = milliseconds_of([&] { gt::TrainingBatches again(examples, options); });
  gt::Workload coming;
  const double workload = milliseconds_of([&] { coming = batches.workload_of_steps(0, batches.steps()); });
  std::vector<gt::CutForecast> forecasts;
  const double forecast =
      milliseconds_of([&] { forecasts = gt::forecast_cache(graph, cuts, room, batches, 0, batches.steps()); });
  const auto price = [&](const std::vector<gt::CutForecast>& with) {
    double selecting = 1e300;
    const auto select = [&](const gt::SelectionProblem& problem) {
      const auto start = std::chrono::steady_clock::now();
      auto result = gt::ImportancePerFlopSelector{}.select(problem);
      selecting = std::min(selecting,
                           std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
      return result;
    };
    const double all = milliseconds_of([&] {
      gt::select_within_ratio(graph, gt::ExactCost<B>{}, coming, importance, 0.6, select, {.forecasts = with});
    });
    return all - selecting;
  };
  const double pricing = price({}), pricing_cuts = price(forecasts);
  std::printf("| %s | %zu | %zu | %.1f | %.1f | %.2f | %.1f | %.1f | %.2f | %.1f |\n", name.c_str(),
              graph.parameters().size(), cuts.size(), lengths, workload, pricing, lengths + workload + pricing,
              forecast, pricing_cuts, lengths + workload + forecast + pricing_cuts);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::cerr << "pricing_examples CONFIG_FOLDER...\n";
    return 2;
  }
  std::printf(
      "| model | tensors | cuts | lengths, ms | workload, ms | graph, ms | all, ms | with a cache: forecast, ms | "
      "graph, ms | all, ms |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
  gt::for_each_model({argv + 1, argv + argc},
                     [](const std::string& name, const auto& architecture) { report(name, architecture); });
  return 0;
} catch (const greentrainer::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
