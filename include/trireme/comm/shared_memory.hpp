// SPDX-License-Identifier: Apache-2.0
// Memory of several processes of a machine, where each process can address all of it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "trireme/comm/communicator.hpp"

namespace trireme {

/// A part for each rank of a communicator whose ranks share a machine. The memory vanishes with
/// the last of the processes, however they end: no name is left in the system.
class SharedMemory {
 public:
  /// `bytes` of this rank, zeros; may differ between ranks, and may be 0. Collective over
  /// `group`. Throws Error, on all ranks, if the ranks are not on one machine, or the machine
  /// has too little memory. The message then names both sizes.
  SharedMemory(Communicator& group, std::size_t bytes);

  /// A rank's part; null if the part is empty.
  [[nodiscard]] std::byte* part(int rank) const;
  [[nodiscard]] std::size_t bytes(int rank) const;

 private:
  struct Unmap {
    std::size_t bytes = 0;
    void operator()(std::byte* address) const;
  };
  std::vector<std::unique_ptr<std::byte, Unmap>> parts_;
};

}  // namespace trireme
