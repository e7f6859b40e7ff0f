// SPDX-License-Identifier: Apache-2.0
// Runs kernels on one CPU thread. Thread blocks run one after the other. Threads of a block are
// fibers, which continue in random order after each barrier.
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

/// Ends the program if a GPU of compute capability 9.0 couldn't run this launch.
void check_launch(const Launch& launch);
/// Calls `body` as each thread of each thread block. A process runs one grid at a time.
void run_grid(const Launch& launch, const std::function<void()>& body);

// Only device code calls the rest.

/// __syncthreads: all threads of the thread block must call it, from one line.
void barrier(Site site);

/// Receives what each of the 32 lanes passes, and stores each lane's result in the same place.
using WarpAction = void (*)(void* const* lanes);
/// All 32 lanes must call this, from one line. The last arrival runs `action`.
void warp_collective(const char* name, unsigned mask, void* mine, WarpAction action, Site site);

/// The thread block's dynamic shared memory.
[[nodiscard]] void* dynamic_shared();
void copy_later(void* shared, const void* global, bool valid);
void close_copies();
void finish_copies(int left);
/// Ends the program unless `p` is a multiple of 16.
void check_aligned16(const void* p, const char* what, Site site);

}  // namespace trireme::emulator

// Variables that device code reads. Each running thread has its own values.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
