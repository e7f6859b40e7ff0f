// SPDX-License-Identifier: Apache-2.0
// Starting and ending MPI in this process, and the communicator of all ranks.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "trireme/comm/communicator.hpp"
#include "trireme/comm/wait_record.hpp"

namespace trireme {

/// Starts MPI (funnelled threads), and ends it when destroyed. Throws Error if the launcher
/// started more processes than MPI sees: launcher and MPI library then do not belong together.
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

/// All ranks of a running MPI, as MpiSession::world() gives them.
[[nodiscard]] std::unique_ptr<Communicator> world_communicator();

/// Names a communicator for messages about waits. Has an effect on those of MPI alone.
void name_ranks(Communicator& communicator, NamedRanks named);

/// Ends every rank of the job with `code`; does not return.
[[noreturn]] void abort_all_ranks(int code);

/// "Open MPI 4.1.4": the library in use.
[[nodiscard]] std::string mpi_version();
/// The library's name and version, without what some libraries say beside: "Open MPI v4.1.4",
/// "MPICH 4.0.2". `library_version` is MPI_Get_library_version's text of up to many lines.
[[nodiscard]] std::string short_mpi_version(std::string_view library_version);

/// Whether messages and broadcasts may lie in a GPU's memory ("CUDA-aware"). The MPI library
/// answers for itself, both when the program is built and when the program runs.
[[nodiscard]] bool mpi_takes_gpu_memory();

}  // namespace trireme
