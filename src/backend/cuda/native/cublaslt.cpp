// SPDX-License-Identifier: Apache-2.0
// Defines cuBLASLt's functions for the linker. Each forwards its call to the library, which is
// loaded at the first call. Other libraries don't see these definitions and load the real
// functions.
#include <cublasLt.h>

#include "trireme/core/error.hpp"

#include "../runtime/library.hpp"

namespace {

const trireme::cuda::Library& library() {
  static const trireme::cuda::Library found(fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR),
                                            TRIREME_CUDA_LIBRARIES);
  return found;
}

template <auto Function>
decltype(Function) real(const char* name) {
  return trireme::cuda::find<Function>(library(), name);
}

}  // namespace

const char* cublasLtGetStatusName(cublasStatus_t status) {
  return real<&cublasLtGetStatusName>("cublasLtGetStatusName")(status);
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return real<&cublasLtGetStatusString>("cublasLtGetStatusString")(status);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return real<&cublasLtCreate>("cublasLtCreate")(handle);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return real<&cublasLtDestroy>("cublasLtDestroy")(handle);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return real<&cublasLtMatmulDescCreate>("cublasLtMatmulDescCreate")(desc, compute, scale);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  return real<&cublasLtMatmulDescDestroy>("cublasLtMatmulDescDestroy")(desc);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  return real<&cublasLtMatmulDescSetAttribute>("cublasLtMatmulDescSetAttribute")(
      desc, attribute, value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
  return real<&cublasLtMatrixLayoutCreate>("cublasLtMatrixLayoutCreate")(layout, type, rows,
                                                                         cols, ld);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return real<&cublasLtMatrixLayoutDestroy>("cublasLtMatrixLayoutDestroy")(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return real<&cublasLtMatmulPreferenceCreate>("cublasLtMatmulPreferenceCreate")(preference);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return real<&cublasLtMatmulPreferenceDestroy>("cublasLtMatmulPreferenceDestroy")(preference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
    const void* value, size_t bytes) {
  return real<&cublasLtMatmulPreferenceSetAttribute>("cublasLtMatmulPreferenceSetAttribute")(
      preference, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int wanted,
    cublasLtMatmulHeuristicResult_t results[], int* count) {
  return real<&cublasLtMatmulAlgoGetHeuristic>("cublasLtMatmulAlgoGetHeuristic")(
      handle, desc, a, b, c, d, preference, wanted, results, count);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  return real<&cublasLtMatmul>("cublasLtMatmul")(handle, desc, alpha, a, a_layout, b, b_layout,
                                                 beta, c, c_layout, d, d_layout, algorithm,
                                                 workspace, workspace_bytes, stream);
}
