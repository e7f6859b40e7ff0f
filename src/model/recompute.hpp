// SPDX-License-Identifier: Apache-2.0
// The input of layers that are computed again: how it waits for backward.
#pragma once

#include "trireme/model/config.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/model/tape.hpp"

namespace trireme {

/// Puts x [local rows, hidden] on the tape as `config` says: whole or this rank's share, on the
/// device or in the host's memory. Nothing where the tape doesn't record.
void keep_input(const Exec& ex, const RecomputeConfig& config, const TensorParallel& tp,
                const Tensor& x, Tape& tape);

/// Takes it back, whole. Collective over tp where it was shared out.
[[nodiscard]] Tensor take_input(const Exec& ex, const RecomputeConfig& config,
                                const TensorParallel& tp, Tape& tape);

}  // namespace trireme
