// SPDX-License-Identifier: Apache-2.0
// The dry backend: a run of any size in one process. Memory and messages are counted, but not
// stored, computed or sent.
#pragma once

#include <cstdint>
#include <memory>

#include "trireme/comm/communicator.hpp"
#include "trireme/device/device.hpp"
#include "trireme/ops/kernels.hpp"

namespace trireme {

/// Counts memory like a device of kind `stands_for` with the same requests. Addresses have no
/// memory behind them and fault if used; copies to the host give zeros.
[[nodiscard]] std::unique_ptr<Device> make_dry_device(DeviceKind stands_for = DeviceKind::cpu);
/// Kernels that compute nothing and report every value as finite.
[[nodiscard]] std::unique_ptr<Kernels> make_dry_kernels();

/// What a rank gave to collectives and messages. Gathers and scatters count the blocks of all
/// ranks; messages count on the sender.
struct Traffic {
  std::int64_t elements = 0;  ///< bytes of codes aside
  std::int64_t bytes = 0;
  std::int64_t coded_bytes = 0;      ///< u8, part of `bytes`
  std::int64_t nearby_elements = 0;  ///< between neighbours: Communicator::split_neighbours()
  std::int64_t nearby_bytes = 0;
};

/// Stands for rank `rank` of `size`, without the other ranks. Communication ends at once,
/// changes nothing and is added to `traffic`, which must outlive the communicator. The
/// communicator can be split into neighbours alone; gather_text() returns this rank's text and
/// empty ones.
[[nodiscard]] std::unique_ptr<Communicator> make_dry_communicator(int rank, int size,
                                                                  Traffic& traffic);

}  // namespace trireme
