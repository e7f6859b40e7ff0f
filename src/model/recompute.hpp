// SPDX-License-Identifier: Apache-2.0
// How inputs of recomputed layers are kept until backward.
#pragma once

#include "trireme/model/config.hpp"
#include "trireme/model/host_inputs.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/model/tape.hpp"

namespace trireme {

/// Whether inputs move to the host's memory. A CPU's inputs are always in the host's memory.
[[nodiscard]] inline bool moves_to_host(const Device& device, const RecomputeConfig& config) {
  return config.in_host_memory && device.stands_for() == DeviceKind::cuda;
}

/// Puts x [local rows, hidden] on the tape, whole or this rank's share, as `config` says. With
/// `host`, x goes to the host's memory, else x stays on the device. A tape that doesn't
/// record takes no input.
void keep_input(const Exec& ex, const RecomputeConfig& config, const TensorParallel& tp,
                HostInputs* host, const Tensor& x, Tape& tape);

/// Takes the whole input back from the tape. Collective over tp where ranks keep shares.
[[nodiscard]] Tensor take_input(const Exec& ex, const RecomputeConfig& config,
                                const TensorParallel& tp, HostInputs* host, Tape& tape);

}  // namespace trireme
