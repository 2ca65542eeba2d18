#pragma once

#include <algorithm>
#include <chrono>
#include <greentrainer/backends/eigen/vectors.hpp>
#include <thread>
#include <vector>

namespace greentrainer {

namespace machine_peak {

/// `rounds` times a multiply-add on each of some vectors that never leave the registers. Returns the FLOPs.
inline double multiply_add(int rounds) {
  using Vector = eigen::Vector<float>;
  constexpr int vectors =
      eigen::vector_bytes == 64 ? 24 : 12;  // more than latency times units needs, fewer than there are registers
  Vector sum[vectors] = {}, x = {}, y = {};
  x += 0.5F;
  y += 1e-9F;
  asm volatile("" : "+m"(x), "+m"(y));  // values that the compiler does not know
  for (int round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < vectors; ++i) sum[i] = sum[i] * x + y;
  }
  for (Vector& s : sum) asm volatile("" : "+m"(s));
  return 2.0 * rounds * vectors * eigen::vector_size<float>;
}

}  // namespace machine_peak

/// float32 GFLOP/s that the machine reaches when nothing but multiply-adds on registers is done: on all cores, or as
/// many threads as asked for, with the vectors this program was built for. What a share of peak is a share of. The best
/// of some runs of about 10 ms.
inline double measure_peak_gflops(int threads = 0, int runs = 10) {
  if (threads <= 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  double best = 0;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> flops(static_cast<std::size_t>(threads));
    std::vector<std::thread> running;
    const auto start = std::chrono::steady_clock::now();
    for (double& result : flops) running.emplace_back([&result] { result = machine_peak::multiply_add(3'000'000); });
    for (std::thread& thread : running) thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    double sum = 0;
    for (double result : flops) sum += result;
    best = std::max(best, sum / seconds * 1e-9);
  }
  return best;
}

}  // namespace greentrainer
