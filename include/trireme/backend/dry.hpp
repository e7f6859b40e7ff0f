// SPDX-License-Identifier: Apache-2.0
// The dry backend: a run of any size on one process, in which memory and messages are counted
// and nothing is stored, computed or sent.
#pragma once

#include <cstdint>
#include <memory>

#include "trireme/comm/communicator.hpp"
#include "trireme/device/device.hpp"
#include "trireme/ops/kernels.hpp"

namespace trireme {

/// Counts as a device of kind `stands_for` would for the same requests. Memory is addresses
/// alone, which fault if used; copies to the host are zeros.
[[nodiscard]] std::unique_ptr<Device> make_dry_device(DeviceKind stands_for = DeviceKind::cpu);
/// Nothing is computed; everything is finite.
[[nodiscard]] std::unique_ptr<Kernels> make_dry_kernels();

/// What a rank gave to exchanges: of gathers and scatters all ranks' blocks; of messages those
/// that it sent.
struct Traffic {
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
};

/// Rank `rank` of `size`, without the others: exchanges are done at once, change nothing and
/// are added to `traffic`, which must outlive it. It can't be split, and texts are its own.
[[nodiscard]] std::unique_ptr<Communicator> make_dry_communicator(int rank, int size,
                                                                  Traffic& traffic);

}  // namespace trireme
