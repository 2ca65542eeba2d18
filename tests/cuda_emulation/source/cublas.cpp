#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <cublas_v2.h>
#include <string>
#include <string_view>

#include <Eigen/Core>

#include "cuda_emulation/source/runtime.hpp"

using namespace greentrainer::cuda_emulation;

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
};

namespace {

Runtime& runtime() { return Runtime::instance(); }

std::size_t bytes_of(cudaDataType type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

/// A call of cuBLAS: `body` throws Fault for what is wrong with its arguments.
cublasStatus_t call(const std::function<void()>& body) {
  switch (runtime().call(body)) {
    case cudaSuccess: return CUBLAS_STATUS_SUCCESS;
    case cudaErrorInvalidValue: return CUBLAS_STATUS_INVALID_VALUE;
    case cudaErrorNotSupported: return CUBLAS_STATUS_NOT_SUPPORTED;
    case cudaErrorInvalidResourceHandle: return CUBLAS_STATUS_NOT_INITIALIZED;
    default: return CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

cublasContext& checked(cublasHandle_t handle) {
  if (handle == nullptr)
    throw Fault{cudaErrorInvalidResourceHandle, "[cublas] handle: expected one that was created, got a null pointer"};
  return *handle;
}

[[noreturn]] void reject(const std::string& what) { throw Fault{cudaErrorInvalidValue, "[cublasGemm] " + what}; }

/// `count` matrices (rows, cols) in columns that begin `leading` elements apart, the matrices `stride` elements apart.
struct Operand {
  const char* name;
  const void* data;
  cudaDataType type;
  std::int64_t rows, cols, leading, stride;

  void check_arguments(int count) const {
    if (leading < std::max<std::int64_t>(1, rows))
      reject(text("leading dimension of ", name, ": expected at least ", std::max<std::int64_t>(1, rows), ", got ",
                  leading));
    if (stride < 0) reject(text("stride of ", name, ": expected none below 0, got ", stride));
    if (reinterpret_cast<std::uintptr_t>(data) % bytes_of(type) != 0)
      reject(text("address of ", name, ": expected a multiple of ", bytes_of(type), ", got ", data));
    check_memory(count);
  }
  void check_memory(int count) const {
    if (rows == 0 || cols == 0) return;
    const auto elements = static_cast<std::size_t>((count - 1) * stride + (cols - 1) * leading + rows);
    runtime().check_device(text("[cublasGemm] ", name), data, elements * bytes_of(type));
  }
  std::byte* column(int batch, std::int64_t c) const {
    return static_cast<std::byte*>(const_cast<void*>(data)) +
           static_cast<std::size_t>(batch * stride + c * leading) * bytes_of(type);
  }
  std::size_t column_bytes() const { return static_cast<std::size_t>(rows) * bytes_of(type); }
};

struct Product {
  cublasOperation_t a_operation, b_operation;
  std::int64_t depth;
  double alpha, beta;  // float or double, as they were at the call
  Operand a, b, c;
  int count;
  bool in_double;
};

template <class T>
using Columns = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

/// Elements as numbers to compute with. bfloat16 is the upper half of a float.
template <class T>
Columns<T> load(const Operand& x, int batch) {
  Columns<T> loaded(x.rows, x.cols);
  for (std::int64_t c = 0; c < x.cols; ++c) {
    const std::byte* const from = x.column(batch, c);
    observe_read(from, x.column_bytes());
    if (x.type != CUDA_R_16BF) {
      std::memcpy(loaded.col(c).data(), from, x.column_bytes());
      continue;
    }
    for (std::int64_t r = 0; r < x.rows; ++r) {
      std::uint16_t bits;
      std::memcpy(&bits, from + 2 * r, sizeof bits);
      loaded(r, c) = static_cast<T>(std::bit_cast<float>(std::uint32_t{bits} << 16));
    }
  }
  return loaded;
}

std::uint16_t rounded_to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

template <class T>
void store(const Columns<T>& y, const Operand& to, int batch) {
  for (std::int64_t c = 0; c < to.cols; ++c) {
    std::byte* const column = to.column(batch, c);
    observe_write(column, to.column_bytes());
    if (to.type != CUDA_R_16BF) {
      std::memcpy(column, y.col(c).data(), to.column_bytes());
      continue;
    }
    for (std::int64_t r = 0; r < to.rows; ++r) {
      const std::uint16_t bits = rounded_to_bfloat16(static_cast<float>(y(r, c)));
      std::memcpy(column + 2 * r, &bits, sizeof bits);
    }
  }
}

/// As BLAS has it: factors are not read where alpha or their common extent is 0, nor C where beta is.
template <class T>
void multiply(const Product& p) {
  for (int batch = 0; batch < p.count; ++batch) {
    Columns<T> y = Columns<T>::Zero(p.c.rows, p.c.cols);
    if (p.alpha != 0 && p.depth > 0) {
      const Columns<T> a = load<T>(p.a, batch), b = load<T>(p.b, batch);
      const auto product = [&y, alpha = static_cast<T>(p.alpha)](const auto& x, const auto& z) {
        y.noalias() = alpha * (x * z);
      };
      const bool ta = p.a_operation == CUBLAS_OP_T, tb = p.b_operation == CUBLAS_OP_T;
      if (ta && tb) product(a.transpose(), b.transpose());
      if (ta && !tb) product(a.transpose(), b);
      if (!ta && tb) product(a, b.transpose());
      if (!ta && !tb) product(a, b);
    }
    if (p.beta != 0) y += static_cast<T>(p.beta) * load<T>(p.c, batch);
    store(y, p.c, batch);
  }
}

bool supported(cublasComputeType_t compute, cudaDataType a, cudaDataType b, cudaDataType c) {
  if (a != b) return false;
  switch (compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC: return a == CUDA_R_64F && c == CUDA_R_64F;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return (a == CUDA_R_32F && c == CUDA_R_32F) || (a == CUDA_R_16BF && (c == CUDA_R_16BF || c == CUDA_R_32F));
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32: return a == CUDA_R_32F && c == CUDA_R_32F;
  }
  return false;
}

double scalar(const void* at, bool in_double) {
  return in_double ? *static_cast<const double*>(at) : *static_cast<const float*>(at);
}

}  // namespace

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}

const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : cudaGetErrorString(cudaPeekAtLastError());
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  return call([=] { *handle = new cublasContext{.stream = runtime().checked(cudaStream_t{})}; });
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  runtime().clean_up([=] {
    runtime().finish_all();  // as cuBLAS does
    delete &checked(handle);
  });
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  return call([=] { checked(handle) = cublasContext{.stream = runtime().checked(stream)}; });
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  return call([=] {
    runtime().check_device("[cublasSetWorkspace] workspace", workspace, bytes);
    if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) {
      throw Fault{cudaErrorInvalidValue,
                  "[cublasSetWorkspace] workspace: expected an address aligned to 256 bytes, got another"};
    }
    checked(handle).workspace = workspace;
    checked(handle).workspace_bytes = bytes;
  });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t) {
  return call([=] { checked(handle); });
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* A, cudaDataType a_type, int lda, const void* B,
                            cudaDataType b_type, int ldb, const void* beta, void* C, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, a_type, lda, 0, B, b_type, ldb, 0, beta,
                                    C, c_type, ldc, 0, 1, compute, algorithm);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                                          int m, int n, int k, const void* alpha, const void* A, cudaDataType a_type,
                                          int lda, long long a_stride, const void* B, cudaDataType b_type, int ldb,
                                          long long b_stride, const void* beta, void* C, cudaDataType c_type, int ldc,
                                          long long c_stride, int count, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  return call([=] {
    const cublasContext& context = checked(handle);
    for (const auto& [name, extent] : {std::pair{"m", m}, {"n", n}, {"k", k}, {"batch count", count}}) {
      if (extent < 0) reject(text(name, ": expected none below 0, got ", extent));
    }
    if (alpha == nullptr || beta == nullptr) reject("alpha and beta: expected places on the host, got a null pointer");
    for (const void* place : {alpha, beta}) runtime().check_host("[cublasGemm] alpha and beta", place, sizeof(float));
    if (!supported(compute, a_type, b_type, c_type)) {
      throw Fault{cudaErrorNotSupported,
                  text("[cublasGemm] types of A, B and C: expected a combination that compute type ", int{compute},
                       " takes, got ", int{a_type}, ", ", int{b_type}, ", ", int{c_type})};
    }
    const bool in_double = a_type == CUDA_R_64F, ta = transa == CUBLAS_OP_T, tb = transb == CUBLAS_OP_T;
    const Product product{transa,
                          transb,
                          k,
                          scalar(alpha, in_double),
                          scalar(beta, in_double),
                          {"A", A, a_type, ta ? k : m, ta ? m : k, lda, a_stride},
                          {"B", B, b_type, tb ? n : k, tb ? k : n, ldb, b_stride},
                          {"C", C, c_type, m, n, ldc, c_stride},
                          count,
                          in_double};
    const std::array operands = {product.a, product.b, product.c};
    if (m == 0 || n == 0 || count == 0) return;
    for (const Operand& operand : operands) operand.check_arguments(count);
    if (count > 1 && c_stride < static_cast<long long>(n - 1) * ldc + m) {
      reject(text("stride of C: expected at least ", static_cast<long long>(n - 1) * ldc + m,
                  " so that matrices do not overlap, got ", c_stride));
    }
    runtime().submit(context.stream, [=, stream = context.stream, workspace = context.workspace,
                                      workspace_bytes = context.workspace_bytes] {
      for (const Operand& operand : operands) operand.check_memory(count);
      if (workspace != nullptr) runtime().check_device("[cublasGemm] workspace", workspace, workspace_bytes);
      act_on(stream->clock, [&] { in_double ? multiply<double>(product) : multiply<float>(product); });
    });
  });
}
