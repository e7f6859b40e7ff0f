// SPDX-License-Identifier: Apache-2.0
// Kernels on one CPU thread: blocks one after the other, the threads of a block as fibers that
// go on in a random order after each barrier.
#pragma once

#include <cstddef>
#include <cuda_runtime.h>
#include <functional>

#include "site.hpp"

namespace trireme::emulator {

inline constexpr int kWarp = 32;
inline constexpr std::size_t kMostShared = std::size_t{227} << 10U;
inline constexpr unsigned kMostThreads = 1024;

struct Launch {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  Site where;
};

/// Ends the program where no GPU of compute capability 9.0 could run such a launch.
void check_launch(const Launch& launch);
/// Calls `body` as each thread of each block. One at a time in a process.
void run_grid(const Launch& launch, const std::function<void()>& body);

// The rest is called by device code alone.

/// __syncthreads: all threads of the block come, to the same line.
void barrier(Site site);

/// Sees what each of the 32 lanes brought, and leaves each its result there.
using WarpAction = void (*)(void* const* lanes);
/// All 32 lanes come, to the same line; the last one's arrival runs `action`.
void warp_collective(const char* name, unsigned mask, void* mine, WarpAction action, Site site);

/// The block's dynamic shared memory.
[[nodiscard]] void* dynamic_shared();
void copy_later(void* shared, const void* global, bool valid);
void close_copies();
void finish_copies(int left);
/// Ends the program unless `p` is a multiple of 16.
void check_aligned16(const void* p, const char* what, Site site);

}  // namespace trireme::emulator

// What device code reads; a thread's own while it runs.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
