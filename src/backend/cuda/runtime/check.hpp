// SPDX-License-Identifier: Apache-2.0
// Turns return codes of CUDA and cuBLASLt into errors.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include "trireme/core/error.hpp"

namespace trireme::cuda {

/// Throw Error with the call, the code's name and its meaning.
[[noreturn]] void throw_cuda(cudaError_t code, const char* call, std::source_location where);
[[noreturn]] void throw_cublas(cublasStatus_t code, const char* call,
                               std::source_location where);

}  // namespace trireme::cuda

#define TRM_CUDA(call)                                                                 \
  do {                                                                                 \
    if (const cudaError_t trm_code = (call); trm_code != cudaSuccess)                  \
      ::trireme::cuda::throw_cuda(trm_code, #call, ::std::source_location::current()); \
  } while (false)

#define TRM_CUBLAS(call)                                                                 \
  do {                                                                                   \
    if (const cublasStatus_t trm_code = (call); trm_code != CUBLAS_STATUS_SUCCESS)       \
      ::trireme::cuda::throw_cublas(trm_code, #call, ::std::source_location::current()); \
  } while (false)
