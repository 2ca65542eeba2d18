// A roofline on paper: every kernel call of training steps is priced by what bounds it, memory or arithmetic, at the
// published rates of an H100. The steps are the library's own, executed on a backend that has no memory and computes
// nothing. Prints Markdown. Usage: roofline CONFIG.JSON [TOKENIZER DATA.JSONL [DATASET]]

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <greentrainer/backends/counting/kernel_forwarder.hpp>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/data/batch_sampler.hpp>
#include <greentrainer/data/collate.hpp>
#include <greentrainer/data/load_jsonl.hpp>
#include <greentrainer/io/config_reader.hpp>
#include <greentrainer/models/architectures.hpp>
#include <greentrainer/models/model.hpp>
#include <greentrainer/optim/adamw.hpp>
#include <greentrainer/select/budgeted_selection.hpp>
#include <greentrainer/tokenizers/load_tokenizer.hpp>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "kernel_work.hpp"
#include "random_batch.hpp"

namespace greentrainer::benchmarks {
namespace {

// NVIDIA's figures for the H100 SXM, without sparsity.
constexpr std::array<Ceilings, 3> h100 = {
    Ceilings{.name = "float32", .bytes_a_second = 3.35e12, .product_flops = 67e12, .other_flops = 67e12},
    Ceilings{.name = "TF32", .bytes_a_second = 3.35e12, .product_flops = 495e12, .other_flops = 67e12},
    Ceilings{.name = "bfloat16",
             .bytes_a_second = 3.35e12,
             .product_flops = 990e12,
             .other_flops = 67e12,
             .rounds_factors = true}};

/// Calls of a kernel, added up.
struct KernelTotal {
  Extent calls = 0;
  Flops flops = 0;
  std::array<double, h100.size()> bytes{}, seconds{}, memory_seconds{}, compute_seconds{};

  void add(const KernelWork& work) {
    ++calls;
    flops += work.flops;
    for (std::size_t c = 0; c < h100.size(); ++c) {
      bytes[c] += h100[c].bytes(work);
      seconds[c] += h100[c].seconds(work);
      memory_seconds[c] += h100[c].memory_seconds(work);
      compute_seconds[c] += h100[c].compute_seconds(work);
    }
  }
};
using KernelTotals = std::map<std::string, KernelTotal>;

/// A backend that prices what is asked of it. Its addresses lead nowhere; of what is copied to it, it keeps indices
/// alone: sequences' lengths matter.
class PricingBackend : public KernelForwarder<PricingBackend, float> {
 public:
  using Scalar = float;

  std::string name() const { return "pricing"; }

  void* allocate(Bytes bytes) {
    void* memory = reinterpret_cast<void*>(next_);
    next_ += static_cast<std::uintptr_t>(bytes + 511) / 512 * 512;
    return memory;
  }
  void deallocate(void*, Bytes) noexcept {}
  void copy_from_host(void* to, const void* from, Bytes bytes) {
    const auto* data = static_cast<const char*>(from);
    uploaded_[reinterpret_cast<std::uintptr_t>(to)].assign(data, data + bytes);
  }
  /// What was uploaded, or zeros: the loss.
  void copy_to_host(void* to, const void* from, Bytes bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(from);
    auto found = uploaded_.upper_bound(address);
    if (found != uploaded_.begin() &&
        address + static_cast<std::uintptr_t>(bytes) <= (--found)->first + found->second.size()) {
      std::memcpy(to, found->second.data() + (address - found->first), static_cast<std::size_t>(bytes));
    } else {
      std::memset(to, 0, static_cast<std::size_t>(bytes));
    }
  }
  void copy(void*, const void*, Bytes bytes) { totals_["copy"].add({.label = "copy", .bytes = 2 * bytes}); }
  void zero(void*, Bytes bytes) { totals_["zero"].add({.label = "zero", .bytes = bytes}); }
  void synchronize() {}

  const KernelTotals& totals() const { return totals_; }
  void reset() { totals_.clear(); }

 private:
  friend class KernelForwarder<PricingBackend, float>;

  template <class Call, class... Arguments>
  void around(std::string_view kernel, Flops flops, Call, const Arguments&... arguments) {
    const KernelWork work = work_of(kernel, flops, arguments...);
    totals_[work.label].add(work);
  }
  Extent visible_pairs(const AttentionShape& shape) {
    const std::vector<Extent> queries = lengths(shape.queries), keys = lengths(shape.keys);
    const Extent rows = std::accumulate(queries.begin(), queries.end(), Extent{0});
    std::vector<Index> scattered(shape.positions == nullptr ? 0 : static_cast<std::size_t>(rows));
    if (!scattered.empty())
      copy_to_host(scattered.data(), shape.positions, static_cast<Bytes>(scattered.size() * sizeof(Index)));
    Extent pairs = 0;
    const Index* row = scattered.data();
    for (std::size_t s = 0; s < queries.size(); ++s) {
      QueryPositions positions{.first = shape.first_position(queries[s], keys[s])};
      if (!scattered.empty()) positions.scattered = std::exchange(row, row + queries[s]);
      for (Extent q = 0; q < queries[s]; ++q)
        pairs += shape.keys_seen(positions[q], keys[s]) - shape.first_key_seen(positions[q]);
    }
    return pairs;
  }
  std::vector<Extent> lengths(const SequenceView& sequences) {
    std::vector<Index> begins(static_cast<std::size_t>(sequences.count)), ends = begins;
    copy_to_host(begins.data(), sequences.begins, static_cast<Bytes>(begins.size() * sizeof(Index)));
    copy_to_host(ends.data(), sequences.ends, static_cast<Bytes>(ends.size() * sizeof(Index)));
    std::vector<Extent> all;
    for (std::size_t s = 0; s < begins.size(); ++s) all.push_back(ends[s] - begins[s]);
    return all;
  }

  std::uintptr_t next_ = std::uintptr_t{1} << 55;
  std::map<std::uintptr_t, std::vector<char>> uploaded_;
  KernelTotals totals_;
};

using PricedModel = Model<PricingBackend>;

/// What a training step of every batch comes to: gradients zeroed, forward and backward pass, AdamW.
KernelTotals price(PricedModel& model, const Selection& selection, const std::vector<Batch>& batches) {
  const auto& graph = model.graph();
  AdamW<PricingBackend> optimizer(model.backend(), {});
  GradientStore<PricingBackend> gradients(model.backend());
  gradients.select(graph, selection);
  optimizer.select(graph, selection);
  const Schedule schedule = make_schedule(graph, selection);
  model.backend().reset();
  for (const Batch& batch : batches) {
    gradients.zero();
    model.executor().run(schedule, batch, {.gradients = &gradients});
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (selection.contains(id)) optimizer.step(id, model.parameters()[id], gradients[id], 0);
    }
  }
  return model.backend().totals();
}

/// Throws unless the kernels' FLOPs, without those of the optimizer, are those that the plan of the selection predicts.
void check_flops(const PricedModel& model, const Selection& selection, const Workload& workload,
                 const KernelTotals& totals) {
  const ExactCost<PricingBackend> cost;
  const auto predicted =
      evaluate(pass_cost(model.graph(), training_plan(model.graph(), selection), cost).total(), workload);
  Flops called = 0;
  for (const auto& [label, total] : totals) called += label == "update_step" ? 0 : total.flops;
  if (called != predicted)
    throw NumericalError("roofline", text("FLOPs: expected the plan's ", predicted, ", got ", called));
}

double total_seconds(const KernelTotals& totals, std::size_t ceiling) {
  double seconds = 0;
  for (const auto& [label, total] : totals) seconds += total.seconds[ceiling];
  return seconds;
}

/// Kernels by their share of the time in float32; a mean step of `steps`.
void print_kernels(const KernelTotals& totals, double steps) {
  constexpr std::array<std::size_t, 2> shown = {0, 2};
  std::vector<std::pair<std::string, KernelTotal>> rows(totals.begin(), totals.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second.seconds[0] > b.second.seconds[0]; });
  std::cout << "| kernel | calls | GFLOP | GB |";
  for (const std::size_t c : shown) std::cout << ' ' << h100[c].name << ": bound by | ms | share |";
  std::cout << "\n| --- | ---: | ---: | ---: | --- | ---: | ---: | --- | ---: | ---: |\n";
  for (const auto& [label, total] : rows) {
    std::cout << "| " << label << " | " << std::setprecision(0) << static_cast<double>(total.calls) / steps << " | "
              << std::setprecision(1) << static_cast<double>(total.flops) / steps * 1e-9 << " | "
              << std::setprecision(2) << total.bytes[0] / steps * 1e-9 << " |";
    for (const std::size_t c : shown) {
      std::cout << ' ' << (total.memory_seconds[c] > total.compute_seconds[c] ? "memory" : "compute") << " | "
                << std::setprecision(2) << total.seconds[c] / steps * 1e3 << " | " << std::setprecision(1)
                << 100 * total.seconds[c] / total_seconds(totals, c) << "% |";
    }
    std::cout << '\n';
  }
  std::cout << '\n';
}

struct PaperHours {
  double rho;
  const char* hours;
};
/// OPT-2.7B on SciTLDR, one H100, float32: the paper's table.
constexpr std::array<PaperHours, 3> paper_hours = {PaperHours{1.0, "0.92"}, PaperHours{0.7, "0.68"},
                                                   PaperHours{0.5, "0.46"}};
constexpr double epochs = 5, steps_an_epoch = 498;
constexpr std::uint64_t selections = 3;  ///< with random importances, of which means are printed

/// `batches`: one, which stands for all, or those of an epoch.
void print_workload(PricedModel& model, const std::vector<Batch>& batches) {
  const auto& graph = model.graph();
  const auto steps = static_cast<double>(batches.size());
  Workload workload;
  for (const Batch& batch : batches) workload += workload_of(batch, graph.window());
  std::cout << "A mean step has " << std::setprecision(0)
            << static_cast<double>(workload[Measure::decoder_tokens]) / steps << " tokens, "
            << static_cast<double>(workload[Measure::labelled_tokens]) / steps
            << " of them labelled. Full fine-tuning:\n\n";
  const KernelTotals full = price(model, select_all(graph), batches);
  check_flops(model, select_all(graph), workload, full);
  print_kernels(full, steps);

  std::cout << "| rho | FLOPs spent |";
  for (const Ceilings& c : h100) std::cout << ' ' << c.name << ": ms a step | hours |";
  std::cout << " the paper's hours |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
  for (const auto& [rho, published] : paper_hours) {
    double spent = 0;
    std::array<double, h100.size()> seconds{};
    for (std::uint64_t seed = 0; seed < selections; ++seed) {
      Selection selection = select_all(graph);
      double ratio = 1;
      if (rho < 1) {
        const BudgetedSelection chosen =
            select_within_ratio(graph, ExactCost<PricingBackend>{}, workload, random_importance(graph, seed), rho);
        selection = chosen.selection;
        ratio = chosen.ratio();
      }
      const KernelTotals totals = price(model, selection, batches);
      check_flops(model, selection, workload, totals);
      spent += ratio / selections;
      for (std::size_t c = 0; c < h100.size(); ++c) seconds[c] += total_seconds(totals, c) / steps / selections;
    }
    std::cout << "| " << std::setprecision(1) << rho << " | " << std::setprecision(4) << spent << " |";
    for (const double s : seconds)
      std::cout << std::setprecision(1) << ' ' << s * 1e3 << " | " << std::setprecision(3)
                << epochs * steps_an_epoch * s / 3600 << " |";
    std::cout << ' ' << published << " |\n";
  }
  std::cout << '\n';
}

std::vector<Batch> epoch_of(const Dataset& dataset, Extent batch_size) {
  const BatchSampler sampler(dataset.examples.size(), batch_size, 0, true);
  std::vector<Batch> batches;
  for (Extent step = 0; step < sampler.steps_per_epoch(); ++step)
    batches.push_back(collate(dataset.examples, sampler.batch_indices(step)));
  return batches;
}

template <class Architecture>
void run(const Architecture& architecture, int argc, char** argv) {
  PricingBackend backend;
  PricedModel model(backend, architecture.template graph<PricingBackend>(), facts_of(architecture));
  for (const auto& value : model.graph().values()) {
    if (value.shape.rows == Rows::encoder_tokens)
      throw ConfigError("roofline", text(argv[1], ": expected a decoder-only model"));
  }
  std::cout << std::fixed << "## 4 x 512 tokens, every position labelled: the paper's padded batches\n\n";
  print_workload(model, {random_batch(4, 512, 511, architecture.vocabulary())});
  if (argc < 4) return;
  const auto tokenizer = load_tokenizer(argv[2]);
  const Dataset dataset = load_jsonl(argv[3], *tokenizer, {.max_tokens = 512, .dataset = argc > 4 ? argv[4] : ""});
  std::cout << "## The data set's own lengths, packed, labelled rows alone through the head\n\n";
  print_workload(model, epoch_of(dataset, 4));
}

}  // namespace
}  // namespace greentrainer::benchmarks

int main(int argc, char** argv) {
  namespace gt = greentrainer;
  if (argc != 2 && argc != 4 && argc != 5) {
    std::cerr << "usage: roofline CONFIG.JSON [TOKENIZER DATA.JSONL [DATASET]]\n";
    return 2;
  }
  try {
    gt::KnownArchitectures::read(gt::ConfigReader::from_file(argv[1]),
                                 [&](const auto& architecture) { gt::benchmarks::run(architecture, argc, argv); });
  } catch (const gt::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
