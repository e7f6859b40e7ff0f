// SPDX-License-Identifier: Apache-2.0
// MPI's life in this process, and the world group.
#pragma once

#include <memory>
#include <string>

#include "trireme/comm/communicator.hpp"

namespace trireme {

/// Starts MPI (funnelled threads), ends it. Throws Error where the launcher started more
/// processes than MPI sees, i.e. where launcher and MPI library do not belong together.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  [[nodiscard]] Communicator& world() const { return *world_; }
  /// Ranks of `world` that share this node's memory.
  [[nodiscard]] std::unique_ptr<Communicator> node() const;

 private:
  std::unique_ptr<Communicator> world_;
};

/// All ranks of an MPI that is running already (MpiSession::world() is the same group).
[[nodiscard]] std::unique_ptr<Communicator> world_communicator();

/// Ends every rank of the job with `code`; does not return.
[[noreturn]] void abort_all_ranks(int code);

/// "Open MPI 4.1.4": the library in use.
[[nodiscard]] std::string mpi_version();

/// Whether messages and broadcasts may lie in a GPU's memory ("CUDA-aware"). The library says
/// so, when the program is built and when it runs.
[[nodiscard]] bool mpi_takes_gpu_memory();

}  // namespace trireme
