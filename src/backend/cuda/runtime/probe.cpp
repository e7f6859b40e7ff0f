// SPDX-License-Identifier: Apache-2.0
// Finds out whether there are a driver and a GPU that the program can use. On a machine without
// them, these functions neither fail nor print.
#include "probe.hpp"

#include <cstdlib>

#include "trireme/backend/cuda.hpp"

#include "check.hpp"

namespace trireme {

namespace cuda {

namespace {

constexpr int kLeastCapability = 8;

/// Formats CUDA's 13020 as "13.2".
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

int runtime_version() {
  int version = 0;
  return cudaRuntimeGetVersion(&version) == cudaSuccess ? version : 0;
}

/// Explains why cudaGetDeviceCount failed.
std::string trouble_of(cudaError_t code) {
  int driver = 0;
  const bool known = cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0;
  static_cast<void>(cudaGetLastError());
  if (!known) {
    return "no NVIDIA driver was found (libcuda.so.1): this machine has no GPU, or its driver "
           "isn't installed";
  }
  if (code == cudaErrorInsufficientDriver) {
    return fmt::format(
        "the NVIDIA driver is too old: it supports CUDA {}, this program was built with CUDA "
        "{}; update the driver or build with an older CUDA Toolkit",
        version_text(driver), version_text(runtime_version()));
  }
  if (code == cudaErrorNoDevice) {
    return fmt::format("no GPU is visible to this process{}", visible_devices());
  }
  return fmt::format("the NVIDIA driver (CUDA {}) can't be used: {} ({})", version_text(driver),
                     cudaGetErrorName(code), cudaGetErrorString(code));
}

}  // namespace

std::string visible_devices() {
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible == nullptr ? "" : fmt::format(" (CUDA_VISIBLE_DEVICES is '{}')", visible);
}

std::string weakness_of(int index) {
  int major = 0;
  int minor = 0;
  TRM_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  TRM_CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  if (major >= kLeastCapability) return "";
  return fmt::format(
      "GPU {} has compute capability {}.{}; {}.0 (A100) or higher is needed, or device: cpu",
      index, major, minor, kLeastCapability);
}

}  // namespace cuda

std::string cuda_version() {
  const std::string nccl = cuda::nccl_version();
  return fmt::format("CUDA {}, cuBLAS {}.{}{}", cuda::version_text(cuda::runtime_version()),
                     CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, nccl.empty() ? "" : ", NCCL " + nccl);
}

// NCCL's kernels spin until other ranks arrive, and must not block work that those ranks need.
// With more streams than connections to the GPU, 8 by default, streams block each other.
// Loading a kernel at its first call may wait for running kernels: see "Lazy Loading" in the
// CUDA Programming Guide. One rank alone saves the seconds and the GiB that loading all at once
// takes.
void set_cuda_environment(bool several) {
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  setenv("CUDA_MODULE_LOADING", several ? "EAGER" : "LAZY", 0);
  setenv("NCCL_RUNTIME_CONNECT", "0", 0);  // connections are made at start, not in a step
}

std::string cuda_trouble() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess) return cuda::trouble_of(code);
  if (count == 0) return cuda::trouble_of(cudaErrorNoDevice);
  std::string weakness;
  for (int i = 0; i < count; ++i) {
    weakness = cuda::weakness_of(i);
    if (weakness.empty()) return "";
  }
  return weakness;
}

std::string cuda_device_id(int index) {
  cudaDeviceProp properties{};
  TRM_CUDA(cudaGetDeviceProperties(&properties, index));
  std::string id = "GPU-";
  for (const char byte : properties.uuid.bytes) {
    id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  return id;
}

std::size_t cuda_free_memory(int index) {
  std::size_t free = 0;
  std::size_t total = 0;
  TRM_CUDA(cudaSetDevice(index));
  TRM_CUDA(cudaMemGetInfo(&free, &total));
  return free;
}

int cuda_device_count() {
  int count = 0;
  return cuda_trouble().empty() && cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace trireme
