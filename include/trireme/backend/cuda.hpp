// SPDX-License-Identifier: Apache-2.0
// The CUDA backend: own kernels, cuBLASLt, cuDNN's attention where it is installed, and NCCL. A
// build without CUDA has these functions too: they report that CUDA is missing.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "trireme/comm/communicator.hpp"
#include "trireme/device/device.hpp"
#include "trireme/ops/kernels.hpp"

namespace trireme {

/// The versions of the libraries in this build, such as "CUDA 13.0, cuBLAS 13.1, NCCL 2.28"; ""
/// in a build without CUDA.
[[nodiscard]] std::string cuda_version();

/// The constants that TRIREME_CUDA_TUNING changes, such as "gelu_epilogue 0 instead of 1"; ""
/// if there are none. Throws Error if the variable has unknown names or values out of range.
[[nodiscard]] std::string cuda_tuning();

/// Sets variables that CUDA and NCCL read when they start, unless the user has set them. Call
/// it before MPI starts, because an MPI library for GPUs starts CUDA. `several`: whether the
/// job has more than one rank.
void set_cuda_environment(bool several);

/// Why this process can't use GPUs, and what to do about it; "" if GPUs can be used. Reasons
/// are a build without CUDA, no driver or an old one, no device, or a low compute capability.
[[nodiscard]] std::string cuda_trouble();

/// The number of GPUs that this process sees; 0 if GPUs can't be used.
[[nodiscard]] int cuda_device_count();

/// The UUID of a GPU, which identifies the GPU on its node whatever subset the process sees.
[[nodiscard]] std::string cuda_device_id(int index);

/// Bytes of memory that are free now on this GPU.
[[nodiscard]] std::size_t cuda_free_memory(int index);

/// Opens GPU `index` of those that the process sees. Throws Error if driver, device, compute
/// capability or memory won't do. Memory is recycled in the order of the first stream that
/// make_stream() returns. All work on a block must precede its release in that stream, directly
/// or through events.
[[nodiscard]] std::unique_ptr<Device> make_cuda_device(int index);

enum class FusedAttention : std::uint8_t { automatic, own, cudnn };

struct CudaOptions {
  bool allow_tf32 = false;     ///< fp32 GEMMs may round their inputs to 10 bits
  bool gemm_autotune = false;  ///< time cuBLASLt's algorithms, else trust its heuristic
  FusedAttention attention = FusedAttention::automatic;
};

/// Makes the kernels, which may only be called with one stream. `device` must be a CUDA device
/// and outlive the kernels. A workspace of kCudaWorkspaceBytes is allocated now.
[[nodiscard]] std::unique_ptr<Kernels> make_cuda_kernels(Device& device,
                                                         const CudaOptions& options);

/// Why this process can't use NCCL, whatever its GPUs; "" if NCCL can be used. Reasons are a
/// build without NCCL, a missing library, or an old one.
[[nodiscard]] std::string nccl_trouble();

/// Makes a communicator for arrays on `device`, in order with the work of `compute`, without
/// blocking the host. A call reads what was queued on `compute` before the call. Work that is
/// queued after the call, or after the wait() of its request, sees the result.
///
/// `host` is a communicator of the same ranks, for host values. The call is collective over
/// `host`. No two ranks of the job may share a GPU.
[[nodiscard]] std::unique_ptr<Communicator> make_nccl_communicator(
    std::unique_ptr<Communicator> host, Device& device, Stream& compute);
/// Makes a communicator that sends arrays on `device` through pinned host memory and `host`.
/// Order and results are those of make_nccl_communicator(). With `direct`, which needs a `host`
/// that takes the GPU's memory, messages and broadcasts need no host memory.
[[nodiscard]] std::unique_ptr<Communicator> make_staged_communicator(
    std::unique_ptr<Communicator> host, Device& device, Stream& compute, bool direct);

}  // namespace trireme
