// Speed of generation with a model folder: prompts as a whole, then steps of one token for several sequences at a time,
// with the bytes of weights and cache that a step must read against the machine's measured read bandwidth. Usage:
// generation MODEL_DIR [context 256] [threads 0]

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/core/random.hpp>
#include <greentrainer/generate/decoding_executor.hpp>
#include <greentrainer/pretrained/pretrained_model.hpp>
#include <iomanip>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace gt = greentrainer;
using Backend = gt::EigenBackend<float>;
using Clock = std::chrono::steady_clock;

namespace {

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Bytes a second that `threads` threads read, each its part of 512 MiB: the best of some runs.
double measure_read_bandwidth(int threads) {
  using Vector = gt::eigen::Vector<float>;
  const std::vector<float> memory(std::size_t{1} << 27, 1.0F);
  double best = 0;
  for (int run = 0; run < 7; ++run) {
    const auto start = Clock::now();
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        const std::size_t part = memory.size() / static_cast<std::size_t>(threads) / 256 * 256,
                          first = part * static_cast<std::size_t>(t);
        Vector sums[8] = {};
        for (std::size_t i = first; i < first + part; i += 8 * gt::eigen::vector_size<float>) {
          for (int s = 0; s < 8; ++s)
            sums[s] +=
                gt::eigen::load_vector(memory.data() + i + static_cast<std::size_t>(s * gt::eigen::vector_size<float>));
        }
        for (Vector& sum : sums) asm volatile("" : "+m"(sum));
      });
    }
    for (std::thread& thread : running) thread.join();
    best = std::max(best, static_cast<double>(memory.size() * sizeof(float)) / seconds_since(start));
  }
  return best;
}

void measure(gt::Model<Backend>& model, gt::Extent sequences, gt::Extent context, double bandwidth) {
  constexpr gt::Extent steps = 24;
  gt::CounterRandom random(1, "prompts");
  const auto token = [&] {
    return static_cast<gt::Index>(random.below(static_cast<std::uint32_t>(model.facts().vocabulary)));
  };
  gt::PackedTokens prompts;
  std::vector<gt::Index> slots;
  for (gt::Extent s = 0; s < sequences; ++s) {
    std::vector<gt::Index> prompt(static_cast<std::size_t>(context));
    for (gt::Index& id : prompt) id = token();
    prompts.append(prompt);
    slots.push_back(static_cast<gt::Index>(s));
  }
  gt::DecodingExecutor<Backend> executor(model);
  double prefill = 1e30, step = 1e30;
  for (int repeat = 0; repeat < 3; ++repeat) {  // the best: other users of the machine come and go
    const auto start = Clock::now();
    executor.start(prompts, {}, {.slots_a_prompt = 1, .steps = steps});
    prefill = std::min(prefill, seconds_since(start));
    for (gt::Extent t = 0; t < steps; ++t) {
      std::vector<gt::Index> ids(slots.size());
      for (gt::Index& id : ids) id = token();
      const auto before = Clock::now();
      executor.step(slots, ids);
      step = std::min(step, seconds_since(before));
    }
  }
  gt::Extent cached = 0;
  const gt::DecodingPlan plan = gt::make_decoding_plan(model.graph());
  for (const gt::ValueId v : plan.cached) cached += model.graph().value(v).shape.cols;
  const double bytes = static_cast<double>(model.parameters().bytes()) +
                       static_cast<double>(cached * context * sequences) * sizeof(float);
  std::cout << std::setw(9) << sequences << std::setw(9) << context << std::setprecision(0) << std::setw(16)
            << static_cast<double>(sequences * context) / prefill << std::setprecision(2) << std::setw(11) << step * 1e3
            << std::setprecision(1) << std::setw(12) << static_cast<double>(sequences) / step << std::setw(9)
            << bytes / step * 1e-9 << std::setw(8) << 100 * bytes / step / bandwidth << "%" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: generation MODEL_DIR [context 256] [threads 0]\n";
    return 2;
  }
  const gt::Extent context = argc > 2 ? std::atoll(argv[2]) : 256;
  const int threads = argc > 3 ? std::atoi(argv[3]) : 0;
  Backend backend(threads);
  auto model = gt::load_pretrained(std::filesystem::path(argv[1]), backend);
  const double bandwidth =
      measure_read_bandwidth(threads > 0 ? threads : static_cast<int>(std::thread::hardware_concurrency()));
  std::cout << backend.name() << ", measured read bandwidth " << std::fixed << std::setprecision(1) << bandwidth * 1e-9
            << " GB/s\n\n"
            << "sequences  context prompt tokens/s    step ms    tokens/s     GB/s     of it\n";
  for (const gt::Extent sequences : {1, 2, 4, 8, 16, 32}) measure(model, sequences, context, bandwidth);
}
