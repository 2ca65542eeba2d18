#include "cuda_emulation/kernel_language.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "cuda_emulation/device_array.hpp"
#include "cuda_emulation/emulation.hpp"

using namespace greentrainer::cuda_emulation;

namespace {

constexpr unsigned all = 0xffffffffU;

std::vector<float> random_values(std::size_t count) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  std::generate(values.begin(), values.end(), [&] { return uniform(random); });
  return values;
}

template <class Test>
void in_every_mode(Test test) {
  for (const Settings& mode : every_mode()) {
    CAPTURE(text_of(mode));
    const Session session(mode);
    test();
    CHECK(take_faults() == std::vector<std::string>{});
  }
  CHECK(live_allocations() == 0);
}

}  // namespace

namespace kernels {

/// Where each thread stands, at the place that is its own.
__global__ void places(unsigned* y) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  y[block * threads + thread] =
      (blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z) * 1000 + threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z;
}

struct Shuffled {
  int direct, up, down, crossed;
};
__global__ void shuffles(int width, int lane, unsigned distance, Shuffled* y) {
  const int own = static_cast<int>(threadIdx.x);
  y[threadIdx.x].direct = __shfl_sync(all, own, lane, width);
  y[threadIdx.x].up = __shfl_up_sync(all, own, distance, width);
  y[threadIdx.x].down = __shfl_down_sync(all, own, distance, width);
  y[threadIdx.x].crossed = __shfl_xor_sync(all, own, static_cast<int>(distance), width);
}

/// Two halves of a warp, each on its own.
__global__ void halves(double* y) {
  double sum = 1.0 + threadIdx.x;
  if (threadIdx.x < 16) {
    for (int distance = 8; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffU, sum, distance);
  } else {
    for (int distance = 8; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffff0000U, sum, distance);
    __syncwarp(0xffff0000U);
  }
  __syncwarp();
  y[threadIdx.x] = sum;
}

/// sums[b] = the sum of the block's numbers; 8 warps.
__global__ void block_sums(const float* x, int n, float* sums) {
  GREENTRAINER_SHARED_ARRAY(float, by_warp, 8);
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float sum = i < n ? x[i] : 0;
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(all, sum, distance);
  if (threadIdx.x % 32 == 0) by_warp[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < 8 ? by_warp[threadIdx.x] : 0;
    for (int distance = 4; distance > 0; distance /= 2)
      sum += __shfl_down_sync(all, sum, static_cast<unsigned>(distance));
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
  }
}

/// y (cols, rows) = x (rows, cols), by tiles of 32 x 32 that 32 x 8 threads move.
__global__ void transpose(const float* x, int rows, int cols, float* y) {
  GREENTRAINER_DYNAMIC_SHARED(float, tile);
  for (unsigned k = threadIdx.y; k < 32; k += 8) {
    const int r = static_cast<int>(blockIdx.y * 32 + k), c = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
    if (r < rows && c < cols) tile[k * 33 + threadIdx.x] = x[r * cols + c];
  }
  __syncthreads();
  for (unsigned k = threadIdx.y; k < 32; k += 8) {
    const int r = static_cast<int>(blockIdx.y * 32 + threadIdx.x), c = static_cast<int>(blockIdx.x * 32 + k);
    if (r < rows && c < cols) y[c * rows + r] = tile[threadIdx.x * 33 + k];
  }
}

/// Sums up to each element, in one block: a Hillis-Steele scan in two buffers.
__global__ void scan(const float* x, float* y) {
  GREENTRAINER_SHARED_ARRAY(float, buffer, 2 * 128);
  unsigned from = 0;
  buffer[threadIdx.x] = x[threadIdx.x];
  for (unsigned distance = 1; distance < 128; distance *= 2) {
    __syncthreads();
    const float own = buffer[from + threadIdx.x];
    buffer[128 - from + threadIdx.x] = threadIdx.x >= distance ? own + buffer[from + threadIdx.x - distance] : own;
    from = 128 - from;
  }
  __syncthreads();
  y[threadIdx.x] = buffer[from + threadIdx.x];
}

__global__ void histogram(const int* x, int n, int* counts) {
  GREENTRAINER_SHARED_ARRAY(int, own, 10);
  if (threadIdx.x < 10) own[threadIdx.x] = 0;
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) atomicAdd(&own[x[i]], 1);
  __syncthreads();
  if (threadIdx.x < 10) atomicAdd(&counts[threadIdx.x], own[threadIdx.x]);
}

/// Numbers the threads in the order in which they come.
__global__ void arrivals(int* next, int* y) { y[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(next, 1); }

template <class T>
__global__ void one_shared_array_each(T* y) {
  GREENTRAINER_SHARED_ARRAY(T, values, 4);
  GREENTRAINER_SHARED_ARRAY(float, others, 4);
  values[threadIdx.x] = static_cast<T>(threadIdx.x);
  others[threadIdx.x] = -1;
  __syncthreads();
  y[threadIdx.x] = values[3 - threadIdx.x];
}

}  // namespace kernels

TEST_CASE("every thread sees its own block and thread index") {
  in_every_mode([] {
    const DeviceArray<unsigned> y(24 * 64);
    start(dim3(4, 3, 2), dim3(8, 4, 2), kernels::places, y.data());
    const std::vector<unsigned> places = y.host();
    CHECK(places[0] == 0);
    CHECK(places[64 + 1] == 1001);
    CHECK(places[(1 * 3 + 2) * 4 * 64 + 3 * 64 + (1 * 4 + 3) * 8 + 5] == 123'135);
  });
}

TEST_CASE("shuffles read as CUDA's documentation says") {
  for (const auto& [width, lane, distance] :
       {std::tuple{32, 5, 1U}, {32, 31, 16U}, {16, 3, 2U}, {8, 11, 5U}, {4, 0, 8U}, {2, 1, 1U}}) {
    in_every_mode([width = width, lane = lane, distance = distance] {
      CAPTURE(width);
      CAPTURE(distance);
      const DeviceArray<kernels::Shuffled> y(32);
      start(1, 32, kernels::shuffles, width, lane, distance, y.data());
      const std::vector<kernels::Shuffled> results = y.host();
      const int step = static_cast<int>(distance);
      for (int own = 0; own < 32; ++own) {
        const int first = own / width * width;
        const kernels::Shuffled& result = results[static_cast<std::size_t>(own)];
        CHECK(result.direct == first + lane % width);
        CHECK(result.up == (own - step < first ? own : own - step));
        CHECK(result.down == (own + step >= first + width ? own : own + step));
        CHECK(result.crossed == ((own ^ step) >= first + width ? own : (own ^ step)));
      }
    });
  }
}

TEST_CASE("parts of a warp come together by their masks") {
  in_every_mode([] {
    const DeviceArray<double> y(32);
    start(1, 32, kernels::halves, y.data());
    std::vector<double> expected(32, 136);
    std::fill(expected.begin() + 16, expected.end(), 136 + 256);
    CHECK(y.host() == expected);
  });
}

TEST_CASE("correct kernels give the same results in every mode") {
  const std::vector<float> values = random_values(1000);
  std::vector<std::vector<float>> sums;
  in_every_mode([&] {
    const DeviceArray<float> x(values), y(4);
    start(4, 256, kernels::block_sums, x.data(), 1000, y.data());
    sums.push_back(y.host());
  });
  for (std::size_t block = 0; block < 4; ++block) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(block * 256),
               end = block < 3 ? begin + 256 : values.end();
    CHECK(sums[0][block] == doctest::Approx(std::accumulate(begin, end, 0.0)).epsilon(1e-5));
  }
  for (const std::vector<float>& other : sums) CHECK(other == sums[0]);

  in_every_mode([&] {
    const DeviceArray<float> x(values), y(1000);
    start_on(nullptr, dim3(2, 1), dim3(32, 8), 32 * 33 * sizeof(float), kernels::transpose, x.data(), 20, 50, y.data());
    const std::vector<float> transposed = y.host();
    for (std::size_t i = 0; i < 1000; ++i) CHECK(transposed[i % 50 * 20 + i / 50] == values[i]);
  });

  in_every_mode([] {
    const DeviceArray<float> x(std::vector<float>(128, 1.0F)), y(128);
    start(1, 128, kernels::scan, x.data(), y.data());
    const std::vector<float> scanned = y.host();
    for (std::size_t i = 0; i < 128; ++i) CHECK(scanned[i] == static_cast<float>(i + 1));
  });

  in_every_mode([] {
    std::vector<int> numbers(500);
    for (std::size_t i = 0; i < 500; ++i) numbers[i] = static_cast<int>(i * i % 10);
    const DeviceArray<int> x(numbers), counts(std::vector<int>(10, 0));
    start(4, 128, kernels::histogram, x.data(), 500, counts.data());
    CHECK(counts.host() == std::vector<int>{50, 100, 0, 0, 100, 50, 100, 0, 0, 100});
  });
}

TEST_CASE("a shared array belongs to one declaration in one kernel") {
  in_every_mode([] {
    const DeviceArray<double> doubles(4);
    const DeviceArray<int> ints(4);
    start(1, 4, kernels::one_shared_array_each<double>, doubles.data());
    start(1, 4, kernels::one_shared_array_each<int>, ints.data());
    CHECK(doubles.host() == std::vector<double>{3, 2, 1, 0});
    CHECK(ints.host() == std::vector<int>{3, 2, 1, 0});
  });
}

TEST_CASE("orders are what they are called, and random ones depend on the seed alone") {
  const auto arrivals = [](const char* words) {
    const Session session(parse_settings(words));
    const DeviceArray<int> next(std::vector<int>{0}), y(128);
    start(2, 64, kernels::arrivals, next.data(), y.data());
    return y.host();
  };
  std::vector<int> ascending(128);
  std::iota(ascending.begin(), ascending.end(), 0);
  CHECK(arrivals("forward") == ascending);
  CHECK(arrivals("reverse") == std::vector<int>(ascending.rbegin(), ascending.rend()));
  const std::vector<int> random = arrivals("random:1");
  CHECK(random != arrivals("random:2"));
  CHECK(random == arrivals("random:1"));
  CHECK(std::is_permutation(random.begin(), random.end(), ascending.begin()));
  CHECK(take_faults().empty());
}

TEST_CASE("device code on the host is refused") {
  CHECK_THROWS_AS(__syncthreads(), std::logic_error);
  CHECK_THROWS_AS(__shfl_sync(all, 1, 0), std::logic_error);
}

TEST_CASE("settings are read from words") {
  CHECK(text_of(parse_settings("")) == "forward,immediate");
  CHECK(text_of(parse_settings("deferred,random:42,protected")) == "random:42,deferred,protected");
  CHECK_THROWS_AS(parse_settings("backward"), std::invalid_argument);
  CHECK_THROWS_AS(parse_settings("random:"), std::invalid_argument);
  CHECK_THROWS_AS(parse_settings("random:1x"), std::invalid_argument);
}
