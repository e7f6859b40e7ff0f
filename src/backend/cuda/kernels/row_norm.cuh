// SPDX-License-Identifier: Apache-2.0
// Distributes a row of a norm over threads. Each thread reads its vectors once and keeps them
// in registers, unless the row is too long for these.
#pragma once

#include "each.cuh"
#include "reduce.cuh"

namespace trireme::cuda {

/// A team of threads, a warp or a whole thread block, that has one row.
struct Team {
  int thread;   ///< index in the team
  int threads;  ///< threads of the team
  int number;   ///< index of the team in the grid
  int teams;    ///< teams of the grid
};

/// Thread blocks of one-warp teams have this many threads.
inline constexpr int kSmallTeams = 256;

template <bool kWarpTeam>
__device__ __forceinline__ Team team() {
  if constexpr (kWarpTeam) {
    constexpr int kPerBlock = kSmallTeams / kWarp;
    return {static_cast<int>(threadIdx.x) % kWarp, kWarp,
            static_cast<int>(blockIdx.x * kPerBlock + threadIdx.x / kWarp),
            static_cast<int>(gridDim.x) * kPerBlock};
  } else {
    return {static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x),
            static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x)};
  }
}

template <bool kWarpTeam>
__device__ __forceinline__ float over_team(float x, float* room) {
  if constexpr (kWarpTeam) {
    return over_warp(x);
  } else {
    return over_block(x, room);
  }
}

/// How many vectors of a row a thread may hold, and how many threads a thread block may have
/// with them. More threads would run out of registers.
struct TeamLimit {
  int held;
  int threads;
};

struct TeamShape {
  bool warp;
  int held;     ///< vectors of a row in each thread; kLongRow: more than registers can hold
  int threads;  ///< threads of a thread block
};
inline constexpr int kLongRow = 0;
inline constexpr int kLongRowThreads = 512;

/// Returns the first of `limits` that fits the row, else kLongRow. A warp takes the row if its
/// threads need at most `warp_held` vectors.
inline TeamShape team_shape(std::int64_t vectors, int warp_held,
                            std::initializer_list<TeamLimit> limits) {
  for (const TeamLimit& l : limits) {
    if (l.held <= warp_held && vectors <= std::int64_t{kWarp} * l.held) {
      return {true, l.held, kSmallTeams};
    }
  }
  for (const TeamLimit& l : limits) {
    const std::int64_t threads = (vectors + l.held - 1) / l.held;
    if (threads <= l.threads) {
      return {false, l.held, static_cast<int>((threads + kWarp - 1) / kWarp * kWarp)};
    }
  }
  return {false, kLongRow, kLongRowThreads};
}

}  // namespace trireme::cuda
