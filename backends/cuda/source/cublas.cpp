// The functions of cuBLAS that the backend calls, from a library that is loaded by the first one. Linked, it would take
// 160 MB of memory in every process, also where that computes on the CPU.

#include <cublas_v2.h>
#include <dlfcn.h>

#include "greentrainer/core/error.hpp"

namespace greentrainer::cuda {

namespace {

#define GREENTRAINER_TEXT_OF(number) #number
#define GREENTRAINER_LIBRARY_OF(major) "libcublas.so." GREENTRAINER_TEXT_OF(major)
constexpr const char* library_name = GREENTRAINER_LIBRARY_OF(CUBLAS_VER_MAJOR);

/// Of the two of this name, that of the library.
using GemmEx = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                              const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                              cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);

/// Throws BackendError if the library, or a function in it, is not there.
class Cublas {
 public:
  /// Loaded once, and kept.
  static const Cublas& library() {
    static const Cublas loaded;
    return loaded;
  }

 private:
  void* library_ = open();

 public:
  decltype(&cublasCreate) create = find<decltype(&cublasCreate)>("cublasCreate_v2");
  decltype(&cublasDestroy) destroy = find<decltype(&cublasDestroy)>("cublasDestroy_v2");
  decltype(&cublasSetStream) set_stream = find<decltype(&cublasSetStream)>("cublasSetStream_v2");
  decltype(&cublasSetWorkspace) set_workspace = find<decltype(&cublasSetWorkspace)>("cublasSetWorkspace_v2");
  GemmEx* gemm_ex = find<GemmEx*>("cublasGemmEx");
  decltype(&cublasGetStatusName) status_name = find<decltype(&cublasGetStatusName)>("cublasGetStatusName");
  decltype(&cublasGetStatusString) status_string = find<decltype(&cublasGetStatusString)>("cublasGetStatusString");

 private:
  static void* open() {
    void* library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail(text("a library that can be loaded, got: ", dlerror()));
    return library;
  }
  template <class F>
  F find(const char* name) const {
    void* function = dlsym(library_, name);
    if (function == nullptr) fail(text("a function ", name, ", got none; is it the library of another version?"));
    return reinterpret_cast<F>(function);
  }
  [[noreturn]] static void fail(const std::string& what) {
    throw BackendError("CudaBackend", library_name, text("expected ", what));
  }
};

}  // namespace

}  // namespace greentrainer::cuda

using greentrainer::cuda::Cublas;

// Declared by cublas_v2.h, under names that its macros make of these.
cublasStatus_t cublasCreate(cublasHandle_t* handle) { return Cublas::library().create(handle); }
cublasStatus_t cublasDestroy(cublasHandle_t handle) { return Cublas::library().destroy(handle); }
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  return Cublas::library().set_stream(handle, stream);
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, size_t bytes) {
  return Cublas::library().set_workspace(handle, workspace, bytes);
}
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  return Cublas::library().gemm_ex(handle, transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c,
                                   c_type, ldc, compute, algorithm);
}
const char* cublasGetStatusName(cublasStatus_t status) { return Cublas::library().status_name(status); }
const char* cublasGetStatusString(cublasStatus_t status) { return Cublas::library().status_string(status); }
