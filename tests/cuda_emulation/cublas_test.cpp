#include <bit>
#include <cstdint>
#include <cublas_v2.h>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cuda_emulation/device_array.hpp"
#include "cuda_emulation/emulation.hpp"

using namespace greentrainer::cuda_emulation;

namespace {

struct Handle {
  cublasHandle_t get = nullptr;
  Handle() { cublasCreate(&get); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { cublasDestroy(get); }
};

struct Case {
  int m, n, k;
  bool ta, tb;
  int count;
  double alpha, beta;
};
const std::vector<Case> cases = {{3, 4, 5, false, false, 1, 1, 0},    {3, 4, 5, true, false, 1, 0.5, 1},
                                 {3, 4, 5, false, true, 1, -1, 0.25}, {3, 4, 5, true, true, 3, 2, 2},
                                 {7, 1, 6, false, false, 4, 1, 0},    {1, 9, 2, true, false, 2, 1, 1},
                                 {2, 2, 0, false, false, 1, 1, 0.5},  {4, 3, 2, false, true, 1, 0, 3}};

std::vector<double> small_integers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(random() % 9) - 4;
  return values;
}

/// Bits of a bfloat16 that has these few bits anyway.
std::uint16_t bfloat16(double x) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(x)) >> 16);
}
double from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

template <class T>
std::vector<T> as(const std::vector<double>& values) {
  std::vector<T> converted;
  for (const double value : values) {
    if constexpr (std::is_same_v<T, std::uint16_t>) {
      converted.push_back(bfloat16(value));
    } else {
      converted.push_back(static_cast<T>(value));
    }
  }
  return converted;
}
template <class T>
double number(T value) {
  if constexpr (std::is_same_v<T, std::uint16_t>) {
    return from_bfloat16(value);
  } else {
    return static_cast<double>(value);
  }
}

template <class T>
constexpr cudaDataType type_of = sizeof(T) == 8   ? CUDA_R_64F
                                 : sizeof(T) == 4 ? CUDA_R_32F
                                                  : CUDA_R_16BF;

/// Integers, so that sums are exact in every type, against the definition written out. Columns and matrices have room
/// between them, which stays as is.
template <class In, class Out>
void check(const Case& c, cublasComputeType_t compute) {
  using Scalar = std::conditional_t<sizeof(In) == 8, double, float>;
  const int a_rows = c.ta ? c.k : c.m, a_cols = c.ta ? c.m : c.k, b_rows = c.tb ? c.n : c.k, b_cols = c.tb ? c.k : c.n;
  const int lda = a_rows + 2, ldb = b_rows + 1, ldc = c.m + 3;
  const long long sa = lda * a_cols + 1, sb = ldb * b_cols + 2, sc = ldc * c.n + 3;
  const auto size = [&](long long stride) { return static_cast<std::size_t>(stride * c.count); };
  const std::vector<double> a = small_integers(size(sa), 1), b = small_integers(size(sb), 2);
  std::vector<double> expected = small_integers(size(sc), 3);

  const Handle handle;
  const DeviceArray<In> device_a(as<In>(a)), device_b(as<In>(b));
  const DeviceArray<Out> device_c(as<Out>(expected));
  const Scalar alpha = static_cast<Scalar>(c.alpha), beta = static_cast<Scalar>(c.beta);
  REQUIRE(cublasGemmStridedBatchedEx(handle.get, c.ta ? CUBLAS_OP_T : CUBLAS_OP_N, c.tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                                     c.m, c.n, c.k, &alpha, device_a.data(), type_of<In>, lda, sa, device_b.data(),
                                     type_of<In>, ldb, sb, &beta, device_c.data(), type_of<Out>, ldc, sc, c.count,
                                     compute, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
  for (int batch = 0; batch < c.count; ++batch) {
    for (int j = 0; j < c.n; ++j) {
      for (int i = 0; i < c.m; ++i) {
        double sum = 0;
        for (int p = 0; p < c.k; ++p) {
          const double x = a[static_cast<std::size_t>(batch * sa + (c.ta ? i * lda + p : p * lda + i))];
          sum += x * b[static_cast<std::size_t>(batch * sb + (c.tb ? p * ldb + j : j * ldb + p))];
        }
        double& y = expected[static_cast<std::size_t>(batch * sc + j * ldc + i)];
        y = c.alpha * sum + c.beta * y;
      }
    }
  }
  const std::vector<Out> computed = device_c.host();
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(number(computed[i]) == expected[i]);
}

}  // namespace

TEST_CASE("products are what BLAS defines, in every combination of types") {
  for (const Settings& mode : every_mode()) {
    const Session session(mode);
    for (const Case& c : cases) {
      CAPTURE(c.m);
      CAPTURE(c.ta);
      CAPTURE(c.tb);
      check<double, double>(c, CUBLAS_COMPUTE_64F);
      check<float, float>(c, CUBLAS_COMPUTE_32F);
      check<float, float>(c, CUBLAS_COMPUTE_32F_FAST_TF32);
      check<std::uint16_t, float>(c, CUBLAS_COMPUTE_32F);
      check<std::uint16_t, std::uint16_t>(c, CUBLAS_COMPUTE_32F);
    }
    CHECK(take_faults() == std::vector<std::string>{});
  }
  CHECK(live_allocations() == 0);
}

TEST_CASE("C is not read where beta is 0, nor factors where alpha is") {
  const Handle handle;
  const float nan = std::numeric_limits<float>::quiet_NaN(), zero = 0, one = 1;
  const DeviceArray<float> numbers(std::vector<float>(4, 1)), nans(std::vector<float>(4, nan)),
      c(std::vector<float>(4, nan));
  cublasSgemm(handle.get, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, numbers.data(), 2, numbers.data(), 2, &zero,
              c.data(), 2);
  CHECK(c.host() == std::vector<float>(4, 2));
  cublasSgemm(handle.get, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &zero, nans.data(), 2, nans.data(), 2, &one, c.data(), 2);
  CHECK(c.host() == std::vector<float>(4, 2));
  CHECK(take_faults().empty());
}

TEST_CASE("alpha and beta are read in the call, operands when the stream comes to them") {
  const Session session({.streams = Streams::deferred});
  const Handle handle;
  const Stream stream;
  REQUIRE(cublasSetStream(handle.get, stream.get) == CUBLAS_STATUS_SUCCESS);
  const DeviceArray<double> a(std::vector<double>{3}), b(std::vector<double>{5}), c(std::vector<double>{7});
  double alpha = 1, beta = 1;
  cudaMemsetAsync(a.data(), 0, sizeof(double), stream.get);
  cublasDgemm(handle.get, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &alpha, a.data(), 1, b.data(), 1, &beta, c.data(), 1);
  alpha = beta = 100;
  cudaStreamSynchronize(stream.get);
  CHECK(c.host() == std::vector<double>{7});
  CHECK(take_faults().empty());
}

TEST_CASE("what the documentation forbids is refused with its status") {
  const Handle handle;
  const DeviceArray<float> x(std::vector<float>(16, 1)), y(16);
  const float one = 1, zero = 0;
  const auto product = [&](int m, int n, int k, int lda, int ldb, int ldc, cublasComputeType_t compute,
                           const float* alpha) {
    return cublasGemmEx(handle.get, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, alpha, x.data(), CUDA_R_32F, lda, x.data(),
                        CUDA_R_32F, ldb, &zero, y.data(), CUDA_R_32F, ldc, compute, CUBLAS_GEMM_DEFAULT);
  };
  CHECK(product(4, 4, 2, 2, 2, 4, CUBLAS_COMPUTE_32F, &one) == CUBLAS_STATUS_SUCCESS);
  CHECK(product(0, 4, 2, 1, 1, 1, CUBLAS_COMPUTE_32F, &one) == CUBLAS_STATUS_SUCCESS);
  CHECK(take_faults().empty());
  CHECK(product(-1, 4, 2, 2, 2, 4, CUBLAS_COMPUTE_32F, &one) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(product(4, 4, 2, 1, 2, 4, CUBLAS_COMPUTE_32F, &one) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(product(4, 4, 2, 2, 1, 4, CUBLAS_COMPUTE_32F, &one) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(product(4, 4, 2, 2, 2, 3, CUBLAS_COMPUTE_32F, &one) == CUBLAS_STATUS_INVALID_VALUE);
  const std::string text = cublasGetStatusString(CUBLAS_STATUS_INVALID_VALUE);
  CHECK(text.find("leading dimension of C: expected at least 4, got 3") != std::string::npos);
  CHECK(product(4, 4, 2, 2, 2, 4, CUBLAS_COMPUTE_32F, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(product(4, 4, 2, 2, 2, 4, CUBLAS_COMPUTE_64F, &one) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(product(4, 5, 2, 2, 2, 4, CUBLAS_COMPUTE_32F, &one) == CUBLAS_STATUS_INVALID_VALUE);  // y has 16 elements
  CHECK(take_faults().size() == 7);
  CHECK(cublasSgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, x.data(), 1, x.data(), 1, &zero, y.data(), 1) ==
        CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(take_faults().size() == 1);
}

TEST_CASE("a workspace is device memory that outlives its use") {
  const Handle handle;
  const float one = 1, zero = 0;
  const DeviceArray<float> x(std::vector<float>(4, 1)), y(4);
  const auto product = [&] {
    return cublasSgemm(handle.get, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, x.data(), 2, x.data(), 2, &zero, y.data(),
                       2);
  };
  {
    const DeviceArray<char> workspace(4096);
    CHECK(cublasSetWorkspace(handle.get, workspace.data(), 4096) == CUBLAS_STATUS_SUCCESS);
    CHECK(product() == CUBLAS_STATUS_SUCCESS);
    CHECK(take_faults().empty());
    CHECK(cublasSetWorkspace(handle.get, workspace.data() + 16, 1024) == CUBLAS_STATUS_INVALID_VALUE);
    CHECK(cublasSetWorkspace(handle.get, workspace.data(), 4097) == CUBLAS_STATUS_INVALID_VALUE);
    CHECK(take_faults().size() == 2);
  }
  CHECK(product() == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(take_faults().size() == 1);
  CHECK(cublasSetStream(handle.get, nullptr) == CUBLAS_STATUS_SUCCESS);  // forgets it
  CHECK(product() == CUBLAS_STATUS_SUCCESS);
  CHECK(take_faults().empty());
}
