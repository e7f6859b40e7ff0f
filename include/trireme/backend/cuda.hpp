// SPDX-License-Identifier: Apache-2.0
// The CUDA backend: kernels of our own, cuBLASLt, cuDNN's attention where it is found, NCCL. In
// a build without CUDA the same names stand, and say so.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "trireme/comm/communicator.hpp"
#include "trireme/device/device.hpp"
#include "trireme/ops/kernels.hpp"

namespace trireme {

/// "CUDA 13.0, cuBLAS 13.1, NCCL 2.28" of the libraries in this build; "" in a build without.
[[nodiscard]] std::string cuda_version();

/// What keeps this process from using GPUs (no build with CUDA, no driver, an old driver, no
/// device, too low a compute capability), with what to do; "" if nothing does.
[[nodiscard]] std::string cuda_trouble();

/// GPUs that this process sees. 0 where there is trouble.
[[nodiscard]] int cuda_device_count();

/// What tells one GPU of a node from another, whatever the process sees: its UUID.
[[nodiscard]] std::string cuda_device_id(int index);

/// Bytes of its memory that are free now.
[[nodiscard]] std::size_t cuda_free_memory(int index);

/// GPU `index` of those. Throws Error (driver, device, capability, memory) where it can't be
/// used. Its memory is recycled in the order of `make_stream()`'s first stream: all work on a
/// block is ordered before it is released, or by events after which it is.
[[nodiscard]] std::unique_ptr<Device> make_cuda_device(int index);

enum class FusedAttention : std::uint8_t { automatic, own, cudnn };

struct CudaOptions {
  bool allow_tf32 = false;     ///< fp32 products may round their factors to 10 bits
  bool gemm_autotune = false;  ///< the fastest of cuBLASLt's algorithms by trial, else its word
  FusedAttention attention = FusedAttention::automatic;
};

/// `device` must be a CUDA device and outlive them. Their workspace, of kCudaWorkspaceBytes, is
/// allocated now: all calls must be on one stream.
[[nodiscard]] std::unique_ptr<Kernels> make_cuda_kernels(Device& device,
                                                         const CudaOptions& options);

/// What keeps this process from using NCCL, whatever the GPUs (no build with it, no library or
/// an old one where it runs); "" if nothing does.
[[nodiscard]] std::string nccl_trouble();

/// Exchanges of arrays on `device`, in order with the work of `compute`: an exchange sees what
/// was queued before it, and what is queued after it, or after a request's wait(), sees its
/// result, without the host waiting. `host` is the same group for host values and moves arrays
/// where there is no NCCL.
///
/// By NCCL: no two ranks of the job may share a GPU. Collective over `host`.
[[nodiscard]] std::unique_ptr<Communicator> make_nccl_communicator(
    std::unique_ptr<Communicator> host, Device& device, Stream& compute);
/// Through pinned host memory and MPI.
[[nodiscard]] std::unique_ptr<Communicator> make_staged_communicator(
    std::unique_ptr<Communicator> host, Device& device, Stream& compute);

}  // namespace trireme
