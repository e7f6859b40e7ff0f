// SPDX-License-Identifier: Apache-2.0
// Sorts as CUB does in src/backend/cuda/native/sort.cu.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "simt.cuh"

namespace trireme::cuda {

std::size_t sort_scratch_bytes(std::int64_t count) {
  return static_cast<std::size_t>(count) * 8 + 1024;
}

void sort_pairs(cudaStream_t stream, void* scratch, std::size_t scratch_bytes,
                const std::uint32_t* keys, std::uint32_t* sorted_keys,
                const std::uint32_t* values, std::uint32_t* sorted_values, std::int64_t count,
                int bits) {
  const std::scoped_lock lock(emulator::api_mutex());
  if (scratch_bytes < sort_scratch_bytes(count)) emulator::fatal("too little scratch to sort");
  const auto state = emulator::stream_state(stream);
  if (state == nullptr) emulator::fatal("sort_pairs: no such stream");
  emulator::queue_work(state, [=] {
    std::memset(scratch, 0xFF, scratch_bytes);
    std::vector<std::int64_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return keys[a] < keys[b]; });
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t from = order[static_cast<std::size_t>(i)];
      if (bits < 32 && keys[from] >> static_cast<unsigned>(bits) != 0) {
        emulator::fatal("sort_pairs: key %u has more than %d bits", keys[from], bits);
      }
      sorted_keys[i] = keys[from];
      sorted_values[i] = values[from];
    }
  });
}

}  // namespace trireme::cuda
