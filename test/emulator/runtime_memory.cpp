// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime's calls that allocate. Arrays are poisoned at first and end at a guard page.
// Access to a freed array faults.
#include <cstdint>
#include <map>

#include "arrays.hpp"
#include "counts.hpp"
#include "devices.hpp"
#include "pages.hpp"

namespace trireme::emulator {
namespace {

struct Arrays {
  std::map<std::uintptr_t, Range> by_begin;
  std::map<int, std::size_t> used;
  std::map<int, std::uint64_t> release_threshold;
  int queued_frees = 0;
};

Arrays& arrays() {
  static auto& only = *new Arrays;
  return only;
}

std::uintptr_t number(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

void note(void* p, std::size_t bytes, Home home) {
  arrays().by_begin[number(p)] = {home, current_device(), static_cast<std::byte*>(p), bytes};
}

cudaError_t allocate(void** result, std::size_t bytes, Home home) {
  if (result == nullptr) return cudaErrorInvalidValue;
  *result = nullptr;
  if (breaks_capture()) return cudaErrorStreamCaptureUnsupported;
  if (bytes == 0) return cudaSuccess;
  count(home == Home::device ? Cost::device_allocation : Cost::pinned_allocation);
  std::size_t& used = arrays().used[current_device()];
  if (home == Home::device && bytes > device_memory() - std::min(used, device_memory())) {
    if (arrays().queued_frees > 0) run_all();
    if (bytes > device_memory() - std::min(used, device_memory())) {
      return cudaErrorMemoryAllocation;
    }
  }
  *result = map_poisoned(bytes);
  if (*result == nullptr) return cudaErrorMemoryAllocation;
  if (home == Home::device) used += bytes;
  note(*result, bytes, home);
  return cudaSuccess;
}

cudaError_t release(void* p, Home home) {
  if (p == nullptr) return cudaSuccess;
  count(Cost::release);
  const auto found = arrays().by_begin.find(number(p));
  if (found == arrays().by_begin.end() || found->second.home != home) {
    return cudaErrorInvalidValue;
  }
  if (home == Home::device) arrays().used[found->second.device] -= found->second.bytes;
  unmap_poisoned(p, found->second.bytes);
  arrays().by_begin.erase(found);
  return cudaSuccess;
}

// Runs a call that first waits for all of the GPU's work.
template <class F>
cudaError_t call_idle(F body) {
  return call([&] {
    if (breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    run_all();
    return body();
  });
}

}  // namespace

Range range_of(const void* p) {
  auto after = arrays().by_begin.upper_bound(number(p));
  if (after == arrays().by_begin.begin()) return {};
  const Range& r = std::prev(after)->second;
  return number(p) < number(r.begin) + r.bytes ? r : Range{};
}

bool lies_in(const void* p, std::size_t bytes, Home home) {
  if (bytes == 0) return true;
  const Range r = range_of(p);
  if (r.home != home) return false;
  if (home == Home::pageable) {
    const auto next = arrays().by_begin.lower_bound(number(p));
    return next == arrays().by_begin.end() || number(p) + bytes <= next->first;
  }
  return number(p) + bytes <= number(r.begin) + r.bytes;
}

}  // namespace trireme::emulator

using namespace trireme::emulator;

extern "C" {

cudaError_t cudaMalloc(void** result, std::size_t bytes) {
  return call([&] { return allocate(result, bytes, Home::device); });
}
cudaError_t cudaFree(void* p) {
  return call_idle([&] { return release(p, Home::device); });
}
cudaError_t cudaMallocHost(void** result, std::size_t bytes) {
  return call([&] { return allocate(result, bytes, Home::pinned); });
}
cudaError_t cudaHostAlloc(void** result, std::size_t bytes, unsigned /*flags*/) {
  return call([&] { return allocate(result, bytes, Home::pinned); });
}
cudaError_t cudaFreeHost(void* p) {
  return call_idle([&] { return release(p, Home::pinned); });
}
cudaError_t cudaHostRegister(void* p, std::size_t bytes, unsigned /*flags*/) {
  return call([&] {
    if (p == nullptr || bytes == 0) return cudaErrorInvalidValue;
    if (breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    if (!lies_in(p, bytes, Home::pageable)) return cudaErrorHostMemoryAlreadyRegistered;
    count(Cost::pinned_allocation);
    note(p, bytes, Home::pinned);
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* p) {
  return call_idle([&] {
    return arrays().by_begin.erase(number(p)) == 1 ? cudaSuccess
                                                   : cudaErrorHostMemoryNotRegistered;
  });
}

// The array is valid at once, on all streams: a use on another stream too early isn't noticed.
cudaError_t cudaMallocAsync(void** result, std::size_t bytes, cudaStream_t /*stream*/) {
  return call([&] { return allocate(result, bytes, Home::device); });
}
cudaError_t cudaMallocFromPoolAsync(void** result, std::size_t bytes, cudaMemPool_t /*pool*/,
                                    cudaStream_t /*stream*/) {
  return call([&] { return allocate(result, bytes, Home::device); });
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  return call([&] {
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    if (p == nullptr) return cudaSuccess;
    const Range r = range_of(p);
    if (r.home != Home::device || r.begin != p) return cudaErrorInvalidValue;
    ++arrays().queued_frees;
    queue_work(state, [p] {
      --arrays().queued_frees;
      if (release(p, Home::device) != cudaSuccess) fatal("%p is freed twice", p);
    });
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&] {
    *total = device_memory();
    *free = *total - std::min(*total, arrays().used[current_device()]);
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  return call([&] {
    const Range r = range_of(p);
    *attributes = {};
    attributes->device = r.device;
    attributes->type = cudaMemoryTypeUnregistered;
    if (r.home != Home::pageable) {
      attributes->type = r.home == Home::device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
      attributes->devicePointer = const_cast<void*>(p);
      if (r.home == Home::pinned) attributes->hostPointer = const_cast<void*>(p);
    } else {
      attributes->device = -1;
      attributes->hostPointer = const_cast<void*>(p);
    }
    return cudaSuccess;
  });
}

// A device has one pool, whose handle is its index + 1. Freed memory is free at once.
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return call([&] {
    if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
    *pool = reinterpret_cast<cudaMemPool_t>(static_cast<std::uintptr_t>(device + 1));
    return cudaSuccess;
  });
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr name, void* value) {
  return call([&] {
    if (name == cudaMemPoolAttrReleaseThreshold) {
      arrays().release_threshold[static_cast<int>(number(pool)) - 1] =
          *static_cast<std::uint64_t*>(value);
    }
    return cudaSuccess;
  });
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr name, void* value) {
  return call([&] {
    const int device = static_cast<int>(number(pool)) - 1;
    if (name == cudaMemPoolAttrReleaseThreshold) {
      *static_cast<std::uint64_t*>(value) = arrays().release_threshold[device];
    } else {
      *static_cast<std::uint64_t*>(value) = arrays().used[device];
    }
    return cudaSuccess;
  });
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t /*pool*/, std::size_t /*keep*/) {
  return call([] { return cudaSuccess; });
}

}  // extern "C"
