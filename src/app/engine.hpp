// SPDX-License-Identifier: Apache-2.0
// Where this rank computes: device, kernels, stream and threads.
#pragma once

#include <memory>
#include <string>

#include "trireme/app/deck.hpp"
#include "trireme/comm/mpi.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

class Engine {
 public:
  /// Threads: the deck's threads_per_rank, else OMP_NUM_THREADS, else an equal share of this
  /// node's processors. Collective.
  Engine(const Deck& deck, const MpiSession& mpi);

  [[nodiscard]] const Exec& exec() const { return exec_; }
  [[nodiscard]] int threads() const { return threads_; }
  /// "cpu: 2 threads, OpenBLAS SkylakeX".
  [[nodiscard]] std::string describe() const;
  /// fp32 products of this rank, operations a second, all ranks at work. Collective.
  [[nodiscard]] double gemm_rate(Communicator& world, int n, double seconds) const;

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Stream> stream_;
  Exec exec_;
  int threads_;
};

/// OpenBLAS takes slow kernels on processors newer than itself. Then this starts the program
/// anew with better ones (OPENBLAS_CORETYPE) and does not return; call before anything else.
void use_best_blas_kernels(char** argv);

/// Most memory that this process has had, in bytes.
[[nodiscard]] std::int64_t peak_process_bytes();

[[nodiscard]] std::string host_name();

}  // namespace trireme
