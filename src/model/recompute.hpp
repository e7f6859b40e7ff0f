// SPDX-License-Identifier: Apache-2.0
// The input of layers that are computed again: how it waits for backward.
#pragma once

#include "trireme/device/host_pool.hpp"
#include "trireme/model/config.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/model/tape.hpp"

namespace trireme {

/// Whether inputs are moved: a CPU's memory is the host's.
[[nodiscard]] inline bool moves_to_host(const Device& device, const RecomputeConfig& config) {
  return config.in_host_memory && device.stands_for() == DeviceKind::cuda;
}

/// Puts x [local rows, hidden] on the tape, whole or this rank's share, as `config` says. With
/// a `pool`, x goes to the pool's memory, else it stays on the device. A tape that doesn't
/// record takes none.
void keep_input(const Exec& ex, const RecomputeConfig& config, const TensorParallel& tp,
                HostPool* pool, const Tensor& x, Tape& tape);

/// Takes it back, whole. Collective over tp where it was shared out.
[[nodiscard]] Tensor take_input(const Exec& ex, const RecomputeConfig& config,
                                const TensorParallel& tp, const HostPool* pool, Tape& tape);

}  // namespace trireme
