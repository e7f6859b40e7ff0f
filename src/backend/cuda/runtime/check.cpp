// SPDX-License-Identifier: Apache-2.0
// Explains return codes of CUDA and cuBLASLt to the user.
#include "check.hpp"

namespace trireme::cuda {

namespace {

/// Whether this error makes the GPU unusable for the process: every later call returns the
/// error.
bool loses_device(cudaError_t code) {
  switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace

void throw_cuda(cudaError_t code, const char* call, std::source_location where) {
  static_cast<void>(cudaGetLastError());  // the next launch must not report this error
  const bool lost = loses_device(code);
  throw Error(fmt::format("{} failed: {} ({}){}", call, cudaGetErrorName(code),
                          cudaGetErrorString(code),
                          lost ? "; it comes from this call or from work queued before it "
                                 "(compute-sanitizer finds which), and this process has lost "
                                 "the GPU"
                               : ""),
              where);
}

void throw_cublas(cublasStatus_t code, const char* call, std::source_location where) {
  throw Error(fmt::format("{} failed: {} ({})", call, cublasLtGetStatusName(code),
                          cublasLtGetStatusString(code)),
              where);
}

}  // namespace trireme::cuda
