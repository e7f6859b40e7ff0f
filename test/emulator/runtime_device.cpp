// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime's calls about devices, versions, errors and functions.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cuda_profiler_api.h>
#include <map>

#include "counts.hpp"
#include "devices.hpp"

namespace trireme::emulator {
namespace {

thread_local int device_of_thread = 0;
thread_local cudaError_t error_of_thread = cudaSuccess;

std::int64_t from_environment(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoll(text, nullptr, 10);
}

int driver_version() {
  return static_cast<int>(from_environment("TRIREME_EMULATED_DRIVER", CUDART_VERSION));
}

std::pair<int, int> capability() {
  int major = 9;
  int minor = 0;
  if (const char* text = std::getenv("TRIREME_EMULATED_CAPABILITY"); text != nullptr) {
    if (std::sscanf(text, "%d.%d", &major, &minor) != 2) {
      fatal("TRIREME_EMULATED_CAPABILITY is '%s'", text);
    }
  }
  return {major, minor};
}

bool is_device(int device) { return device >= 0 && device < device_count(); }

void fill(cudaDeviceProp& p, int device) {
  p = {};
  std::snprintf(p.name, sizeof(p.name), "Emulated H100");
  for (int i = 0; i < 16; ++i) p.uuid.bytes[i] = static_cast<char>(device * 16 + i);
  p.totalGlobalMem = device_memory();
  p.sharedMemPerBlock = 48U << 10U;
  p.sharedMemPerBlockOptin = kMostShared;
  p.sharedMemPerMultiprocessor = 228U << 10U;
  p.reservedSharedMemPerBlock = 1024;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = kWarp;
  p.memPitch = 0x7fffffff;
  p.maxThreadsPerBlock = static_cast<int>(kMostThreads);
  p.maxThreadsPerMultiProcessor = 2048;
  p.maxBlocksPerMultiProcessor = 32;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 0x7fffffff;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.totalConstMem = 64U << 10U;
  std::tie(p.major, p.minor) = capability();
  p.multiProcessorCount = 132;
  p.canMapHostMemory = p.unifiedAddressing = p.concurrentKernels = p.ECCEnabled = 1;
  p.asyncEngineCount = 3;
  p.memoryBusWidth = 5120;
  p.l2CacheSize = 50 << 20;
  p.streamPrioritiesSupported = p.memoryPoolsSupported = p.cooperativeLaunch = 1;
  p.hostRegisterSupported = p.managedMemory = p.concurrentManagedAccess = 1;
  p.pciBusID = device + 1;
}

cudaError_t attribute(int* value, cudaDeviceAttr name, int device) {
  cudaDeviceProp p;
  fill(p, device);
  const std::map<cudaDeviceAttr, int> known = {
      {cudaDevAttrComputeCapabilityMajor, p.major},
      {cudaDevAttrComputeCapabilityMinor, p.minor},
      {cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
      {cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock},
      {cudaDevAttrMaxThreadsPerMultiProcessor, p.maxThreadsPerMultiProcessor},
      {cudaDevAttrMaxBlocksPerMultiprocessor, p.maxBlocksPerMultiProcessor},
      {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<int>(p.sharedMemPerBlock)},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, static_cast<int>(p.sharedMemPerBlockOptin)},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor,
       static_cast<int>(p.sharedMemPerMultiprocessor)},
      {cudaDevAttrMaxRegistersPerBlock, p.regsPerBlock},
      {cudaDevAttrWarpSize, p.warpSize},
      {cudaDevAttrL2CacheSize, p.l2CacheSize},
      {cudaDevAttrGlobalMemoryBusWidth, p.memoryBusWidth},
      {cudaDevAttrClockRate, 1980000},
      {cudaDevAttrMemoryClockRate, 2619000},
      {cudaDevAttrMemoryPoolsSupported, 1},
      {cudaDevAttrComputeMode, cudaComputeModeDefault},
      {cudaDevAttrUnifiedAddressing, 1},
      {cudaDevAttrMaxGridDimX, p.maxGridSize[0]},
      {cudaDevAttrMaxGridDimY, p.maxGridSize[1]},
      {cudaDevAttrMaxGridDimZ, p.maxGridSize[2]},
  };
  const auto at = known.find(name);
  if (at == known.end()) {
    fatal("cudaDeviceGetAttribute(%d) is not emulated", static_cast<int>(name));
  }
  *value = at->second;
  return cudaSuccess;
}

}  // namespace

int device_count() { return static_cast<int>(from_environment("TRIREME_EMULATED_DEVICES", 1)); }
std::size_t device_memory() {
  return static_cast<std::size_t>(
      from_environment("TRIREME_EMULATED_MEMORY", std::int64_t{80} << 30U));
}
int current_device() { return device_of_thread; }

cudaError_t driver_trouble() {
  // A runtime of one major version runs on any driver of that version.
  if (driver_version() < CUDART_VERSION / 1000 * 1000) return cudaErrorInsufficientDriver;
  return device_count() == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t remember(cudaError_t code) {
  if (code != cudaSuccess) error_of_thread = code;
  return code;
}
cudaError_t last_error() { return error_of_thread; }

}  // namespace trireme::emulator

using namespace trireme::emulator;

extern "C" {

cudaError_t cudaGetLastError() { return std::exchange(error_of_thread, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return error_of_thread; }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = driver_version();
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call([&] {
    *count = device_count();
    return cudaSuccess;
  });
}
cudaError_t cudaSetDevice(int device) {
  return call([&] {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    device_of_thread = device;
    return cudaSuccess;
  });
}
cudaError_t cudaInitDevice(int device, unsigned /*device_flags*/, unsigned /*flags*/) {
  return call([&] { return is_device(device) ? cudaSuccess : cudaErrorInvalidDevice; });
}
cudaError_t cudaGetDevice(int* device) {
  return call([&] {
    *device = current_device();
    return cudaSuccess;
  });
}
cudaError_t cudaSetDeviceFlags(unsigned /*flags*/) {
  return call([] { return cudaSuccess; });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&] {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    fill(*properties, device);
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int device) {
  return call([&] {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    return attribute(value, name, device);
  });
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  return call([&] {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    std::snprintf(id, static_cast<std::size_t>(length), "0000:%02x:00.0",
                  static_cast<unsigned>(device + 1));
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceSynchronize() {
  return call([] {
    if (breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    count(Cost::drain);
    run_all();
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return call([&] {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* /*function*/, cudaFuncAttribute name, int value) {
  return call([&] {
    const bool fits = name != cudaFuncAttributeMaxDynamicSharedMemorySize ||
                      (value >= 0 && static_cast<std::size_t>(value) <= kMostShared);
    return fits ? cudaSuccess : cudaErrorInvalidValue;
  });
}
// Ignores the limit of registers.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* /*function*/,
                                                          int threads, std::size_t shared) {
  return call([&] {
    if (threads < 1 || threads > static_cast<int>(kMostThreads)) return cudaErrorInvalidValue;
    const std::size_t of_shared = (std::size_t{228} << 10U) / (shared + 1024);
    *blocks = std::min({2048 / threads, 32, static_cast<int>(of_shared)});
    return cudaSuccess;
  });
}

cudaError_t cudaProfilerStart() {
  return call([] {
    start_counts();
    return cudaSuccess;
  });
}
cudaError_t cudaProfilerStop() {
  return call([] {
    print_counts();
    return cudaSuccess;
  });
}

// Names and texts of errors that the project's tests look for; CUDA has more.
#define TRM_EMULATED_ERRORS(X)                                                               \
  X(cudaSuccess, "no error")                                                                 \
  X(cudaErrorInvalidValue, "invalid argument")                                               \
  X(cudaErrorMemoryAllocation, "out of memory")                                              \
  X(cudaErrorInsufficientDriver,                                                             \
    "CUDA driver version is insufficient for CUDA runtime version")                          \
  X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                 \
  X(cudaErrorInvalidDevice, "invalid device ordinal")                                        \
  X(cudaErrorInvalidResourceHandle, "invalid resource handle")                               \
  X(cudaErrorNotReady, "device not ready")                                                   \
  X(cudaErrorNotPermitted, "operation not permitted")                                        \
  X(cudaErrorNotSupported, "operation not supported")                                        \
  X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")   \
  X(cudaErrorStreamCaptureInvalidated,                                                       \
    "operation failed due to a previous error during capture")                               \
  X(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate captures")   \
  X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                    \
  X(cudaErrorStreamCaptureIsolation,                                                         \
    "dependency created on uncaptured work in another stream")                               \
  X(cudaErrorStreamCaptureWrongThread, "attempt to terminate a capture from another thread") \
  X(cudaErrorCapturedEvent, "operation not permitted on an event of a capture")              \
  X(cudaErrorIllegalState, "the operation cannot be performed in the present state")

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
#define TRM_EMULATED_NAME(name, text) \
  case name:                          \
    return #name;
    TRM_EMULATED_ERRORS(TRM_EMULATED_NAME)
#undef TRM_EMULATED_NAME
    default:
      return "unrecognized error code";
  }
}
const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
#define TRM_EMULATED_TEXT(name, text) \
  case name:                          \
    return text;
    TRM_EMULATED_ERRORS(TRM_EMULATED_TEXT)
#undef TRM_EMULATED_TEXT
    default:
      return "unrecognized error code";
  }
}

}  // extern "C"
