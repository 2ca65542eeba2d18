// Kernels of the Eigen backend at the shapes of an OPT-125M training step (batch 4 x 512): GFLOP/s, share of the
// machine's float32 peak measured around it, and GB/s of operands, each met once. Usage: kernel_benchmark [part of a
// kernel's name] [float32|bfloat16|bfloat16-vectors: products; the last without AMX]

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <string>

#include "../tests/backends/operator_cases.hpp"
#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "machine_peak.hpp"

namespace greentrainer {
namespace {

using Backend = CountingBackend<EigenBackend<float>>;

/// Numbers between -1 and 1, quickly: what they are does not matter here.
testing::CaseValues some_values(const testing::CaseDescription& test) {
  testing::CaseValues all;
  std::uint32_t state = 1;
  for (const testing::Operand& operand : test.operands) {
    std::vector<double> values(static_cast<std::size_t>(operand.rows * operand.stride()));
    for (double& x : values)
      x = static_cast<double>(state = state * 1664525U + 1013904223U) * 0x1p-31 -
          (operand.fill == testing::Operand::Fill::positive ? 0 : 1);
    all.push_back(std::move(values));
  }
  return all;
}

class Table {
 public:
  Table(Backend& backend, std::string filter) : backend_(backend), filter_(std::move(filter)) {
    std::cout << std::left << std::setw(24) << "kernel" << std::setw(44) << "shape" << std::right << std::setw(10)
              << "ms" << std::setw(10) << "GFLOP/s" << std::setw(9) << "of peak" << std::setw(9) << "GB/s"
              << "\n"
              << std::fixed;
  }

  template <class Call, class Prepare>
  void operator()(const testing::OperatorCase<Call, Prepare>& test) {
    if (test.kernel.find(filter_) == std::string::npos) return;
    testing::CaseData<Backend> data(backend_, test, some_values(test));
    test.prepare(backend_, data);
    test.call(backend_, data);  // scratch memory grows here
    double best = 1e30, total = 0,
           peak = measure_peak_gflops(0, 3);  // anew for each line: other users of the machine come and go
    for (int run = 0; run < 3 || (total < 0.3 && run < 200); ++run) {
      backend_.reset();
      const auto start = std::chrono::steady_clock::now();
      test.call(backend_, data);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      best = std::min(best, seconds);
      total += seconds;
    }
    peak = std::max(peak, measure_peak_gflops(0, 3));
    const double gflops = static_cast<double>(backend_.flops()) / best * 1e-9;
    std::cout << std::left << std::setw(24) << test.kernel << std::setw(44) << test.shape << std::right << std::setw(10)
              << std::setprecision(3) << best * 1e3 << std::setw(10) << std::setprecision(1) << gflops << std::setw(8)
              << 100 * gflops / peak << "%" << std::setw(9) << static_cast<double>(backend_.total().bytes) / best * 1e-9
              << std::endl;
  }

 private:
  Backend& backend_;
  std::string filter_;
};

void run(const std::string& filter, const std::string& products) {
  const auto precision = products == "float32" ? ProductPrecision::full : ProductPrecision::bf16;
  Backend backend(0, precision,
                  products == "bfloat16-vectors" ? eigen::BFloat16Path::vectors : eigen::best_bfloat16_path());
  std::cout << backend.name() << ", measured peak " << measure_peak_gflops() << " GFLOP/s\n\n";
  Table measure(backend, filter);
  using namespace testing;
  constexpr auto n = Transpose::no, t = Transpose::yes;
  constexpr Extent tokens = 2048, width = 768, wide = 3072, vocabulary = 50272;

  for (const Extent out : {width, wide}) {
    const Extent in = width + wide - out;
    measure(matmul_case(tokens, out, width, n, t, Write::overwrite));   // forward
    measure(matmul_case(tokens, in, out, n, n, Write::overwrite));      // gradient of the input
    measure(matmul_case(out, width, tokens, t, n, Write::accumulate));  // gradient of the weight
  }
  for (const Extent rows : {166, 256, 512, 1024}) {
    measure(matmul_case(rows, vocabulary, width, n, t, Write::overwrite));
    measure(matmul_case(rows, width, vocabulary, n, n, Write::overwrite));
    measure(matmul_case(vocabulary, width, rows, t, n, Write::accumulate));
  }
  for (const Extent rows : {1, 4, 16, 64})
    measure(matmul_case(rows, wide, width, n, t, Write::overwrite));  // generation

  for (const bool causal : {true, false}) {
    const AttentionSizes opt{.heads = 12,
                             .kv_heads = 12,
                             .head_dim = 64,
                             .causal = causal,
                             .query_lengths = {512, 512, 512, 512},
                             .key_lengths = {512, 512, 512, 512}};
    measure(attention_forward_case(opt));
    measure(attention_grad_case(opt, {.queries = true, .keys = true, .values = true}));
    measure(attention_grad_case(opt, {.values = true}));
  }
  AttentionSizes grouped{
      .heads = 9, .kv_heads = 3, .head_dim = 64, .causal = true, .query_lengths = {2048}, .key_lengths = {2048}};
  measure(attention_forward_case(grouped));
  measure(attention_grad_case(grouped, {.queries = true, .keys = true, .values = true}));
  grouped.window = 256;
  measure(attention_forward_case(grouped));
  measure(attention_grad_case(grouped, {.queries = true, .keys = true, .values = true}));
  grouped.window = 0;
  grouped.score_cap = 50;
  measure(attention_forward_case(grouped));
  measure(attention_grad_case(grouped, {.queries = true, .keys = true, .values = true}));

  AttentionSizes biased{.heads = 12,
                        .kv_heads = 12,
                        .head_dim = 64,
                        .causal = true,
                        .query_lengths = {512, 512, 512, 512},
                        .key_lengths = {512, 512, 512, 512}};
  biased.alibi = true;
  measure(attention_forward_case(biased));
  measure(attention_grad_case(biased, {.queries = true, .keys = true, .values = true}));
  biased.alibi = false;
  biased.relative = {.buckets = 32, .max_distance = 128, .bidirectional = false};
  measure(attention_forward_case(biased));
  measure(attention_grad_case(biased, {.queries = true, .keys = true, .values = true}));
  measure(attention_grad_case(biased, {.queries = true, .keys = true, .values = true, .bias = true}));

  measure(add_bias_case(tokens, wide, 0));
  measure(bias_grad_case(tokens, wide, 0));
  measure(layer_norm_forward_case(tokens, width, 0));
  measure(layer_norm_grad_input_case(tokens, width, 0, Write::accumulate));
  measure(layer_norm_grad_weight_case(tokens, width, 0));
  measure(rms_norm_forward_case(tokens, width, 0));
  measure(rms_norm_grad_input_case(tokens, width, 0, Write::accumulate));
  measure(rms_norm_grad_weight_case(tokens, width, 0));
  measure(rotary_case(tokens, 12, 64, Rotation::forward, true));
  for (const Activation f : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu,
                             Activation::tanh, Activation::relu_squared, Activation::sigmoid}) {
    measure(activation_forward_case(f, tokens, wide, 0));
    measure(activation_grad_case(f, tokens, wide, 0));
  }
  measure(gated_forward_case(Activation::silu, tokens, wide, 0));
  measure(gated_grad_gate_case(Activation::silu, tokens, wide, 0));
  measure(gated_grad_up_case(Activation::silu, tokens, wide, 0));
  measure(add_case(tokens, width, 0));
  measure(accumulate_case(tokens, width, 0));
  measure(embedding_forward_case(vocabulary, tokens, width, 0));
  measure(embedding_grad_weight_case(vocabulary, tokens, width, 0));
  measure(cross_entropy_forward_case(256, vocabulary, false));
  measure(cross_entropy_grad_case(256, vocabulary));
  measure(adamw_step_case(wide * width));
  measure(adamw_candidate_case(wide * width, State::kept));
  measure(update_dot_case(wide * width));
  measure(sum_of_squares_case(wide * width));
}

}  // namespace
}  // namespace greentrainer

int main(int argc, char** argv) {
  const std::string products = argc > 2 ? argv[2] : "float32";
  if (products != "float32" && products != "bfloat16" && products != "bfloat16-vectors") {
    std::cerr << "kernel_benchmark: expected float32, bfloat16 or bfloat16-vectors, got " << products << '\n';
    return 2;
  }
  greentrainer::run(argc > 1 ? argv[1] : "", products);
}
