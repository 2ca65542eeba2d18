// Planned against measured peak memory of whole fits: each in a process of its own, whose resident set is measured from
// before the model is there. Mapped files (the program and its libraries) are named apart.
//   build/native/bin/memory_promise SEQUENCES TOKENS FOLDER...
// FOLDER: a model with its weights, or config.json alone, for random weights. Batches of SEQUENCES x TOKENS, all
// labelled, two steps; for the cached cases two epochs over as many examples. CASE=N in the environment: that case
// alone. Takes minutes for models of 100M weights.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/io/config_reader.hpp>
#include <greentrainer/pretrained/pretrained_model.hpp>
#include <greentrainer/train/trainer.hpp>
#include <iostream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "model_shapes.hpp"

namespace {

namespace gt = greentrainer;
using B = gt::EigenBackend<float>;

/// A field of /proc/self/status, in bytes.
gt::Bytes status(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(field + ":")) return std::atoll(line.c_str() + field.size() + 1) * 1024;
  }
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

struct Case {
  const char* name;
  bool green = false, limited = false, cached = false;
};
constexpr Case cases[] = {{"full"},
                          {.name = "full, limit", .limited = true},
                          {.name = "rho 0.5", .green = true},
                          {.name = "rho 0.5, limit", .green = true, .limited = true},
                          {.name = "last 2 blocks, cached", .cached = true},
                          {.name = "last 2 blocks, cached, limit", .limited = true, .cached = true}};

std::vector<gt::Example> random_examples(const gt::ModelFacts& facts, std::size_t count, std::size_t tokens) {
  gt::CounterRandom random(5, "examples");
  const auto id = [&] { return static_cast<gt::Index>(random.below(static_cast<std::uint32_t>(facts.vocabulary))); };
  std::vector<gt::Example> examples(count);
  for (gt::Example& example : examples) {
    for (std::size_t t = 0; t < tokens; ++t) example.input_ids.push_back(id());
    example.labels = example.input_ids;
    if (!facts.target_shift) continue;
    for (std::size_t t = 0; t < tokens; ++t) example.source_ids.push_back(id());
  }
  return examples;
}

template <class Model>
gt::TrainingReport fit(Model& model, const Case& what, std::size_t sequences, std::size_t tokens, gt::Bytes limit) {
  const auto examples = random_examples(model.facts(), what.cached ? 2 * sequences : sequences, tokens);
  gt::FitOptions options{.steps = what.cached ? 4 : 2,
                         .batch_size = static_cast<gt::Extent>(sequences),
                         .memory_limit = limit,
                         .evaluate = gt::Evaluations::none};
  if (what.cached) options.prefix_cache = gt::PrefixCacheMode::memory;
  const gt::AdamWOptions optimizer{.learning_rate = 1e-5};
  if (what.green) return gt::Trainer<B>(model, gt::GreenOptions{.flops_ratio = 0.5}, optimizer).fit(examples, options);
  const auto selection =
      what.cached ? gt::select_last_layers(model.graph(), model.facts(), 2) : gt::select_all(model.graph());
  return gt::Trainer<B>(model, selection, optimizer).fit(examples, options);
}

void measure(const std::string& folder, const Case& what, std::size_t sequences, std::size_t tokens) {
  reset_peak();
  const gt::Bytes start = status("VmRSS");
  B backend;
  const auto with = [&](auto& model) {
    gt::Bytes limit = 0;
    if (what.limited) {  // weights, gradients and state as they are, and 30% of the activations
      const auto workload = gt::workload_of(gt::collate(random_examples(model.facts(), sequences, tokens),
                                                        [&] {
                                                          std::vector<std::size_t> all(sequences);
                                                          for (std::size_t i = 0; i < sequences; ++i) all[i] = i;
                                                          return all;
                                                        }()),
                                            model.graph().window());
      const auto memory =
          gt::training_memory(model.graph(), gt::select_all(model.graph()), workload, sizeof(float), 2 * sizeof(float));
      limit = memory.total() - memory.activations * 7 / 10;
      if (what.green || what.cached) limit = 1;  // refused: the smallest that is feasible, and 5%
    }
    gt::TrainingReport report;
    try {
      report = fit(model, what, sequences, tokens, limit);
    } catch (const gt::InfeasibleMemory& infeasible) {
      report = fit(model, what, sequences, tokens, limit = infeasible.smallest() + infeasible.smallest() / 20);
    }
    const gt::Bytes planned = report.memory.peak(), measured = status("VmHWM") - start;
    const double off = static_cast<double>(measured - planned);
    const bool held = std::abs(off) <= std::max(0.05 * static_cast<double>(planned), 16.0 * (1 << 20));
    const auto& memory = report.selections.front().memory;
    const auto mb = [](gt::Bytes bytes) { return static_cast<double>(bytes) / 1e6; };
    std::printf("| %s | %zu x %zu | %s | %s | %.1f | %.1f | %.1f | %+.1f | %+.1f%% | %.1f | %.2f%% | %s |\n",
                std::filesystem::path(folder).filename().c_str(), sequences, tokens, what.name,
                limit == 0 ? "" : gt::text(limit / 1000000).c_str(), mb(memory.activations), mb(planned), mb(measured),
                off / 1e6, 100 * off / static_cast<double>(planned), mb(status("RssFile")),
                100 * static_cast<double>(report.flops.recomputed) / static_cast<double>(report.flops.train),
                held ? "yes" : "no");
    std::fflush(stdout);
  };
  if (std::filesystem::exists(std::filesystem::path(folder) / "model.safetensors")) {
    auto model = gt::load_pretrained(folder, backend);
    return with(model);
  }
  const auto config = gt::ConfigReader::from_file(std::filesystem::path(folder) / "config.json");
  gt::KnownArchitectures::read(config, [&](const auto& architecture) {
    gt::Model<B> model(backend, architecture.template graph<B>(), gt::facts_of(architecture));
    gt::CounterRandom random(3, "weights");
    std::vector<float> values;
    for (gt::ParameterId id = 0; id < static_cast<gt::ParameterId>(model.graph().parameters().size()); ++id) {
      auto& tensor = model.parameters()[id];
      std::vector<float>(static_cast<std::size_t>(tensor.size())).swap(values);
      for (float& v : values) v = static_cast<float>(0.04 * (random.uniform() - 0.5));
      tensor.upload(values);
    }
    with(model);
    return 0;
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: memory_promise SEQUENCES TOKENS FOLDER... (CASE=N in the environment: that case alone)\n";
    return 2;
  }
  const auto sequences = static_cast<std::size_t>(std::atoll(argv[1])),
             tokens = static_cast<std::size_t>(std::atoll(argv[2]));
  const char* only = std::getenv("CASE");
  std::printf(
      "| model | batch | case | limit, MB | activations | planned | measured | off | off, %% | of measured: mapped "
      "files | FLOPs again | within 5%% or 16 MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- "
      "| --- | --- |\n");
  std::fflush(stdout);
  bool failed = false;
  for (int f = 3; f < argc; ++f) {
    for (std::size_t c = 0; c < std::size(cases); ++c) {
      if (only != nullptr && std::strtoull(only, nullptr, 10) != c) continue;
      const pid_t child = fork();
      if (child == 0) {
        try {
          measure(argv[f], cases[c], sequences, tokens);
          std::_Exit(0);
        } catch (const std::exception& error) {
          std::cerr << argv[f] << ", " << cases[c].name << ": " << error.what() << '\n';
          std::_Exit(1);
        }
      }
      int result = 0;
      waitpid(child, &result, 0);
      failed = failed || result != 0;
    }
  }
  return failed ? 1 : 0;
}
