// SPDX-License-Identifier: Apache-2.0
// How the norms lay a row over threads: each holds some of its vectors in registers, from the
// only time that they are read on.
#pragma once

#include "each.cuh"
#include "reduce.cuh"

namespace trireme::cuda {

/// A team of threads, a warp or a whole block, that has a row.
struct Team {
  int thread;   ///< of the team
  int threads;  ///< in the team
  int number;   ///< of this team in the grid
  int teams;    ///< in the grid
};

/// Teams of one warp stand in blocks of so many threads.
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

/// What threads may hold of a row, and how many of them a block may then have without running
/// out of registers.
struct TeamLimit {
  int held;
  int threads;
};

struct TeamShape {
  bool warp;
  int held;     ///< vectors of a row in each thread
  int threads;  ///< of a block
};

/// The first of `limits` that a row fits; a warp has the row where its threads need hold no
/// more than `warp_held` vectors.
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
  throw Error(fmt::format("a norm over {} vectors of elements: rows are too long", vectors));
}

}  // namespace trireme::cuda
