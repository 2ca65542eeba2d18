// Training steps on a CUDA device, in each precision of the products: milliseconds a step at rho 1, 0.7 and 0.5, and
// every kernel's time by events against the roofline of this device, whose ceilings are measured first:
// device-to-device copies and a large product. Prints Markdown. Usage: cuda_step CONFIG.JSON [batch 4] [tokens 512]
// [labelled rows a sequence: tokens - 1] [device 0] Exit status: 77 without a device.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cuda_runtime.h>
#include <deque>
#include <greentrainer/backends/counting/kernel_forwarder.hpp>
#include <greentrainer/backends/cuda.hpp>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/io/config_reader.hpp>
#include <greentrainer/models/architectures.hpp>
#include <greentrainer/models/model.hpp>
#include <greentrainer/optim/adamw.hpp>
#include <greentrainer/select/budgeted_selection.hpp>
#include <iomanip>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernel_work.hpp"
#include "random_batch.hpp"

namespace greentrainer::benchmarks {
namespace {

using Clock = std::chrono::steady_clock;

void check(cudaError_t status) {
  if (status != cudaSuccess)
    throw BackendError("cuda_step", text("event: expected success, got ", cudaGetErrorString(status)));
}

class Event {
 public:
  Event() { check(cudaEventCreate(&event_)); }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream)); }
  /// Both have been reached.
  double seconds_since(const Event& start) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start.event_, event_));
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// A CUDA backend that times its kernels while asked to.
class TimedBackend : public KernelForwarder<TimedBackend, float> {
 public:
  using Scalar = float;
  struct Call {
    KernelWork work;
    const Event* start;
    const Event* end;
  };

  TimedBackend(int device, const CudaOptions& options) : inner_(device, options) {}

  std::string name() const { return inner_.name(); }
  const cuda::MemoryStatistics& memory() const { return inner_.memory(); }

  void* allocate(Bytes bytes) { return inner_.allocate(bytes); }
  void deallocate(void* memory, Bytes bytes) noexcept { inner_.deallocate(memory, bytes); }
  void copy_from_host(void* to, const void* from, Bytes bytes) { inner_.copy_from_host(to, from, bytes); }
  void copy_to_host(void* to, const void* from, Bytes bytes) { inner_.copy_to_host(to, from, bytes); }
  void copy(void* to, const void* from, Bytes bytes) {
    timed({.label = "copy", .bytes = 2 * bytes}, [&] { inner_.copy(to, from, bytes); });
  }
  void zero(void* to, Bytes bytes) {
    timed({.label = "zero", .bytes = bytes}, [&] { inner_.zero(to, bytes); });
  }
  void synchronize() { inner_.synchronize(); }

  /// From here on calls are timed. `pairs`: of a query and a key that it sees in an attention, which lengths on the
  /// device decide; `labelled_pairs`: in one of labelled queries alone.
  void start_timing(Extent pairs, Extent labelled_pairs) {
    calls_.clear();
    used_events_ = 0;
    pairs_ = pairs;
    labelled_pairs_ = labelled_pairs;
    timing_ = true;
  }
  /// Waits for them.
  void stop_timing() {
    timing_ = false;
    synchronize();
  }
  const std::vector<Call>& calls() const { return calls_; }

 private:
  friend class KernelForwarder<TimedBackend, float>;

  template <class Kernel, class... Arguments>
  void around(std::string_view kernel, Flops flops, Kernel call, const Arguments&... arguments) {
    if (!timing_) return call(inner_, arguments...);
    timed(work_of(kernel, flops, arguments...), [&] { call(inner_, arguments...); });
  }
  template <class Run>
  void timed(KernelWork work, Run run) {
    if (!timing_) return run();
    const Event& start = record_event();
    run();
    calls_.push_back({std::move(work), &start, &record_event()});
  }
  /// Events are made once: making them between two launches would be timed, too, where the device waits for the host.
  const Event& record_event() {
    if (used_events_ == events_.size()) events_.emplace_back();
    Event& event = events_[used_events_++];
    event.record(inner_.stream());
    return event;
  }
  Extent visible_pairs(const AttentionShape& shape) const {
    return shape.positions == nullptr ? pairs_ : labelled_pairs_;
  }

  CudaBackend<float> inner_;
  std::vector<Call> calls_;
  std::deque<Event> events_;
  std::size_t used_events_ = 0;
  Extent pairs_ = 0, labelled_pairs_ = 0;
  bool timing_ = false;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// Median seconds of `run`, waited for.
template <class Run>
double seconds_of(TimedBackend& backend, int repeats, Run run) {
  run();
  backend.synchronize();
  std::vector<double> seconds;
  for (int r = 0; r < repeats; ++r) {
    const auto start = Clock::now();
    run();
    backend.synchronize();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return median(std::move(seconds));
}

/// Uniform numbers within 0.035 (zeros would run faster than weights do), generated once and written to as many tensors
/// as wanted.
class RandomNumbers {
 public:
  void fill(Tensor<TimedBackend>& tensor) {
    CounterRandom random(2, "weights", static_cast<std::uint64_t>(numbers_.size()));
    while (static_cast<Extent>(numbers_.size()) < tensor.size())
      numbers_.push_back(static_cast<float>(0.07 * (random.uniform() - 0.5)));
    tensor.upload(std::span(numbers_).first(static_cast<std::size_t>(tensor.size())));
  }

 private:
  std::vector<float> numbers_;
};

/// What this device does at best: bytes read and written by a copy of 1 GiB, and FLOPs of a product of 8192 x 8192
/// matrices.
struct Measured {
  double bytes_a_second = 0;
  double product_flops = 0;
};
Measured measure_ceilings(TimedBackend& backend, RandomNumbers& numbers) {
  constexpr Extent n = 8192;
  Tensor<TimedBackend> x(backend, n, n), z(backend, n, n), y(backend, n, n);
  numbers.fill(x);
  numbers.fill(z);
  const Bytes bytes = x.bytes();
  constexpr int copies = 8;
  const double copying = seconds_of(backend, 10, [&] {
    for (int c = 0; c < copies; ++c) backend.copy(c % 2 == 0 ? y.data() : z.data(), x.data(), bytes);
  });
  const double product = seconds_of(backend, 10, [&] {
    backend.matmul(x.matrix(), Transpose::no, z.matrix(), Transpose::yes, y.matrix(), Write::overwrite);
  });
  return {2.0 * copies * static_cast<double>(bytes) / copying, 2.0 * n * n * n / product};
}

struct KernelTotal {
  Extent calls = 0;
  double flops = 0, bytes = 0, seconds = 0, roofline = 0;
};

void print_kernels(const std::vector<TimedBackend::Call>& calls, const Ceilings& ceilings) {
  std::map<std::string, KernelTotal> by_label;
  double all = 0;
  for (const auto& call : calls) {
    KernelTotal& total = by_label[call.work.label];
    ++total.calls;
    total.flops += static_cast<double>(call.work.flops);
    total.bytes += ceilings.bytes(call.work);
    total.seconds += call.end->seconds_since(*call.start);
    total.roofline += ceilings.seconds(call.work);
  }
  std::vector<std::pair<std::string, KernelTotal>> rows(by_label.begin(), by_label.end());
  for (const auto& [label, total] : rows) all += total.seconds;
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::cout << "| kernel | calls | ms | share | TFLOP/s | GB/s | of its roofline |\n| --- | ---: | ---: | ---: | ---: "
               "| ---: | ---: |\n";
  for (const auto& [label, t] : rows) {
    std::cout << "| " << label << " | " << t.calls << std::setprecision(3) << " | " << t.seconds * 1e3
              << std::setprecision(1) << " | " << 100 * t.seconds / all << "% | " << t.flops / t.seconds * 1e-12
              << " | " << std::setprecision(0) << t.bytes / t.seconds * 1e-9 << " | " << 100 * t.roofline / t.seconds
              << "% |\n";
  }
  std::cout << '\n';
}

struct Options {
  Extent sequences = 4;
  Extent tokens = 512;
  Extent labelled = 511;
  int device = 0;
};

/// A step of one precision and ratio.
struct Result {
  std::string_view products;
  double rho = 1;
  double spent = 1;  ///< of the FLOPs of full fine-tuning
  double seconds = 0;
  double flops = 0;
  Bytes memory = 0;
};

template <class P>
Flops step_flops(const TensorGraph<P>& graph, const Selection& selection, const Workload& workload) {
  const ExactCost<P> cost;
  return evaluate(pass_cost(graph, training_plan(graph, selection), cost).total(), workload);
}

/// Gradients zeroed, forward and backward pass, AdamW: the time of a step, and a table of its kernels.
Result measure_step(Model<TimedBackend>& model, const Selection& selection, const Batch& batch,
                    const Ceilings& ceilings) {
  constexpr int warm_up = 2, repeats = 10;
  TimedBackend& backend = model.backend();
  const auto& graph = model.graph();
  const Workload workload = workload_of(batch);
  AdamW<TimedBackend> optimizer(backend, {});
  GradientStore<TimedBackend> gradients(backend);
  gradients.select(graph, selection);
  optimizer.select(graph, selection);
  const Schedule schedule = make_schedule(graph, selection);
  const auto step = [&] {
    gradients.zero();
    model.executor().run(schedule, batch,
                         {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &gradients});
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (selection.contains(id)) optimizer.step(id, model.parameters()[id], gradients[id], 1e-6);
    }
  };
  for (int i = 0; i < warm_up; ++i) step();
  Result result{.products = ceilings.name};
  result.seconds = seconds_of(backend, repeats, step);
  result.flops = static_cast<double>(step_flops(graph, selection, workload));
  result.spent = result.flops / static_cast<double>(step_flops(graph, select_all(graph), workload));
  result.memory = backend.memory().in_use;
  for (int pass = 0; pass < 2; ++pass) {  // the first makes the events
    backend.start_timing(workload[Measure::decoder_pairs], workload[Measure::labelled_pairs]);
    step();
    backend.stop_timing();
  }
  print_kernels(backend.calls(), ceilings);
  return result;
}

/// All ratios in one precision. `float_flops`: of products in full precision, or 0 if these are the first; it bounds
/// what is no product.
template <class Architecture>
void measure_precision(const Architecture& architecture, const Options& options, ProductPrecision precision,
                       double& float_flops, std::vector<Result>& results) {
  TimedBackend backend(options.device, {.products = precision});
  RandomNumbers numbers;
  const Measured best = measure_ceilings(backend, numbers);
  if (float_flops == 0) float_flops = best.product_flops;
  const Ceilings ceilings{.name = name_of(precision),
                          .bytes_a_second = best.bytes_a_second,
                          .product_flops = best.product_flops,
                          .other_flops = float_flops,
                          .rounds_factors = precision == ProductPrecision::bf16};
  std::cout << "## " << backend.name() << "\n\nCopies move " << std::setprecision(2) << best.bytes_a_second * 1e-12
            << " TB/s; a product of 8192 x 8192 matrices runs at " << std::setprecision(1) << best.product_flops * 1e-12
            << " TFLOP/s.\n\n";

  Model<TimedBackend> model(backend, architecture.template graph<TimedBackend>(), facts_of(architecture));
  const auto& graph = model.graph();
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id)
    numbers.fill(model.parameters()[id]);
  const Batch batch = random_batch(options.sequences, options.tokens, options.labelled, architecture.vocabulary());
  for (const double rho : {1.0, 0.7, 0.5}) {
    Selection selection = select_all(graph);
    if (rho < 1)
      selection =
          select_within_ratio(graph, ExactCost<TimedBackend>{}, workload_of(batch), random_importance(graph, 0), rho)
              .selection;
    std::cout << "### " << name_of(precision) << " products, rho " << std::setprecision(1) << rho << "\n\n";
    Result result = measure_step(model, selection, batch, ceilings);
    result.rho = rho;
    results.push_back(result);
  }
}

template <class Architecture>
void run(const Architecture& architecture, const Options& options) {
  const std::string device = CudaBackend<float>(options.device).name();  // or there is nothing to print
  std::cout << std::fixed << "# Training steps of " << options.sequences << " x " << options.tokens << " tokens, "
            << options.labelled << " rows of each sequence labelled, on " << device << "\n\n";
  std::vector<Result> results;
  double float_flops = 0;
  for (const ProductPrecision precision : {ProductPrecision::full, ProductPrecision::tf32, ProductPrecision::bf16}) {
    measure_precision(architecture, options, precision, float_flops, results);
  }
  std::cout << "## Steps\n\n| products | rho | FLOPs spent | ms a step | of full | TFLOP/s | GiB in use | hours for 5 "
               "x 498 steps |\n"
            << "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
  double full_seconds = 1;
  for (const Result& r : results) {
    if (r.rho == 1) full_seconds = r.seconds;
    std::cout << "| " << r.products << " | " << std::setprecision(1) << r.rho << " | " << std::setprecision(4)
              << r.spent << " | " << std::setprecision(2) << r.seconds * 1e3 << " | " << r.seconds / full_seconds
              << " | " << std::setprecision(1) << r.flops / r.seconds * 1e-12 << " | "
              << static_cast<double>(r.memory) / (1 << 30) << " | " << std::setprecision(3)
              << 5 * 498 * r.seconds / 3600 << " |\n";
  }
}

}  // namespace
}  // namespace greentrainer::benchmarks

int main(int argc, char** argv) {
  namespace gt = greentrainer;
  const auto argument = [&](int i, gt::Extent fallback) {
    return argc > i ? static_cast<gt::Extent>(std::atoll(argv[i])) : fallback;
  };
  gt::benchmarks::Options options{
      .sequences = argument(2, 4), .tokens = argument(3, 512), .device = static_cast<int>(argument(5, 0))};
  options.labelled = argument(4, options.tokens - 1);
  if (argc < 2 || argc > 6 || options.sequences < 1 || options.tokens < 2 || options.labelled < 1 ||
      options.labelled >= options.tokens) {
    std::cerr
        << "usage: cuda_step CONFIG.JSON [batch 4] [tokens 512] [labelled rows a sequence: tokens - 1] [device 0]\n";
    return 2;
  }
  try {
    gt::KnownArchitectures::read(gt::ConfigReader::from_file(argv[1]),
                                 [&](const auto& architecture) { gt::benchmarks::run(architecture, options); });
  } catch (const gt::MissingDevice& error) {
    std::cerr << error.what() << '\n';
    return 77;
  } catch (const gt::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
