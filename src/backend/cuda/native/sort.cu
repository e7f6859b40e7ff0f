// SPDX-License-Identifier: Apache-2.0
// Sorts with CUB.
#include <cub/device/device_radix_sort.cuh>

#include "simt.cuh"

namespace trireme::cuda {

std::size_t sort_scratch_bytes(std::int64_t count) {
  std::size_t bytes = 0;
  const std::uint32_t* from = nullptr;
  std::uint32_t* to = nullptr;
  TRM_CUDA(cub::DeviceRadixSort::SortPairs(nullptr, bytes, from, to, from, to, count));
  return bytes;
}

void sort_pairs(cudaStream_t stream, void* scratch, std::size_t scratch_bytes,
                const std::uint32_t* keys, std::uint32_t* sorted_keys,
                const std::uint32_t* values, std::uint32_t* sorted_values, std::int64_t count,
                int bits) {
  TRM_CUDA(cub::DeviceRadixSort::SortPairs(scratch, scratch_bytes, keys, sorted_keys, values,
                                           sorted_values, count, 0, bits, stream));
}

}  // namespace trireme::cuda
