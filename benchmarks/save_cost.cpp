// What a save of a run costs beside its steps, and how large a state is.
//   build/native/bin/save_cost MODEL FOLDER [SEQUENCES TOKENS STEPS]
// MODEL: a model's folder with its weights. States are written into FOLDER, the last is left there. Batches of
// SEQUENCES x TOKENS (4 x 256) random tokens, all labelled. Of STEPS (25) steps, in turn, one runs alone, one beside a
// save that begins before it and is waited for after it, and one follows a save between two steps. Medians, and what a
// save costs of the time of 100 steps; a state's bytes beside those of the weights that have changed and the moments of
// what is selected. Methods: GreenTrainer at rho 0.5, everything, LoRA.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/pretrained/pretrained_model.hpp>
#include <greentrainer/train/trainer.hpp>
#include <iostream>
#include <set>
#include <string>
#include <vector>

namespace {

namespace gt = greentrainer;
using B = gt::EigenBackend<float>;
using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Of the weights of all tensors that were ever selected, and AdamW's two moments of those that are.
gt::Bytes expected_bytes(const gt::TensorGraph<B>& graph, const std::vector<gt::SelectionRecord>& selections) {
  std::set<std::string> changed;
  for (const gt::SelectionRecord& record : selections) changed.insert(record.names.begin(), record.names.end());
  const auto bytes = [&](const std::string& name) {
    return graph.parameter(*graph.find(name)).size() * static_cast<gt::Bytes>(sizeof(float));
  };
  gt::Bytes total = 0;
  for (const std::string& name : changed) total += bytes(name);
  for (const std::string& name : selections.back().names) total += 2 * bytes(name);
  return total;
}

constexpr gt::Bytes room = gt::Bytes{8} << 30;  ///< for the copy of a state

struct Sizes {
  std::size_t sequences = 4, tokens = 256;
  gt::Extent steps = 25;
};

void measure(const char* name, gt::PretrainedModel<B>& model, gt::Trainer<B> trainer, const Sizes& sizes,
             const std::filesystem::path& folder) {
  gt::CounterRandom random(5, "examples");
  std::vector<gt::Example> examples(sizes.sequences * static_cast<std::size_t>(sizes.steps));
  for (gt::Example& example : examples) {
    for (std::size_t t = 0; t < sizes.tokens; ++t)
      example.input_ids.push_back(
          static_cast<gt::Index>(random.below(static_cast<std::uint32_t>(model.facts().vocabulary))));
    example.labels = example.input_ids;
  }
  trainer.start(examples, {.batch_size = static_cast<gt::Extent>(sizes.sequences), .evaluate = gt::Evaluations::none});
  std::filesystem::path state;
  std::vector<double> alone, with_save, saves;
  const auto seconds = [](auto&& work) {
    const auto start = Clock::now();
    work();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  trainer.step();  // warms up, and makes what there is to save
  bool goes_on = true;
  while (goes_on) {
    const std::filesystem::path next = folder / gt::text(name, "-", trainer.steps_done());
    switch (trainer.steps_done() % 3) {
      case 0: alone.push_back(seconds([&] { goes_on = trainer.step(); })); continue;
      case 1:
        with_save.push_back(seconds([&] {
          trainer.begin_save(next, room);
          goes_on = trainer.step();
          trainer.end_save();
        }));
        break;
      default: saves.push_back(seconds([&] { trainer.save(next); })); goes_on = trainer.step();
    }
    if (!state.empty()) std::filesystem::remove_all(state);
    state = next;
  }
  const gt::TrainingReport report = trainer.finish();
  gt::Bytes all = 0;
  for (const auto& entry : std::filesystem::directory_iterator(state)) all += static_cast<gt::Bytes>(entry.file_size());
  const gt::Bytes expected = expected_bytes(model.graph(), report.selections);
  const double step = median(alone), more = median(with_save) - step;
  std::printf("| %s | %.2f | %.2f | %.2f%% | %.2f | %.2f%% | %.1f | %.3f%% |\n", name, step, more, more / step,
              median(saves), median(saves) / step, static_cast<double>(expected) / 1e6,
              100 * static_cast<double>(all - expected) / static_cast<double>(expected));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: save_cost MODEL FOLDER [SEQUENCES TOKENS STEPS]\n";
    return 2;
  }
  Sizes sizes;
  if (argc > 3) sizes.sequences = static_cast<std::size_t>(std::atoll(argv[3]));
  if (argc > 4) sizes.tokens = static_cast<std::size_t>(std::atoll(argv[4]));
  if (argc > 5) sizes.steps = std::atoll(argv[5]);
  std::puts(
      "| method | seconds a step | more with a save beside it | of step time, one save in 100 | seconds a save between "
      "steps | of step time | MB of weights and moments | more |");
  std::puts("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
  const gt::AdamWOptions adamw{.learning_rate = 1e-5};
  B backend;
  {
    auto model = gt::load_pretrained(argv[1], backend);
    measure("green, rho 0.5", model, gt::Trainer<B>(model, gt::GreenOptions{.flops_ratio = 0.5}, adamw), sizes,
            argv[2]);
    measure("full", model, gt::Trainer<B>(model, gt::select_all(model.graph()), adamw), sizes, argv[2]);
  }
  auto model = gt::load_pretrained(argv[1], backend, {.lora = gt::LoraOptions{.targets = {"all-linear"}}});
  measure("lora", model, gt::Trainer<B>(model, gt::select_adapters(model.graph()), adamw), sizes, argv[2]);
}
