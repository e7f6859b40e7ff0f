// SPDX-License-Identifier: Apache-2.0
// Where this rank computes: device, kernels, stream and threads.
#pragma once

#include <memory>
#include <string>

#include "trireme/comm/mesh.hpp"
#include "trireme/comm/mpi.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

/// The GPU that a rank takes.
struct GpuShare {
  bool use = false;
  int index = 0;        ///< of those that the rank sees
  bool shared = false;  ///< any rank of the job shares its with another
};

class Engine {
 public:
  /// On GPUs where the deck says cuda, or auto and all ranks see some: a rank's is that of its
  /// number on its node, so that ranks share GPUs where there are fewer. Threads: the deck's
  /// threads_per_rank, else OMP_NUM_THREADS, else an equal share of this node's processors.
  /// Collective. Throws Error where the deck says cuda and a rank can't have it.
  Engine(const Deck& deck, const MpiSession& mpi);

  [[nodiscard]] const Exec& exec() const { return exec_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] bool on_gpu() const { return exec_.device.kind() == DeviceKind::cuda; }
  /// What tells this rank's GPU from others; "" on a CPU.
  [[nodiscard]] const std::string& gpu_id() const { return gpu_id_; }
  /// Bytes of its memory for this job: free when the engine was about to be made. 0 on a CPU.
  [[nodiscard]] std::size_t gpu_memory() const { return gpu_memory_; }
  /// "cpu: 2 threads, OpenBLAS SkylakeX".
  [[nodiscard]] std::string describe() const;
  /// The groups of this run's mesh, for arrays on the device. Collective over `world`.
  [[nodiscard]] Mesh mesh(const MeshShape& shape, Communicator& world) const;
  /// On which the phases of steps are measured.
  [[nodiscard]] std::unique_ptr<TimeLine> time_line() const;
  /// Starts or stops a CUDA profiler where the deck says so for the iteration to come.
  void profile(const Deck& deck, std::int64_t iteration) const;
  /// Products of this rank, operations a second, all ranks at work. Collective.
  [[nodiscard]] double gemm_rate(Communicator& world, int n, double seconds) const;
  /// Of those products: fp32 on CPUs, the deck's on GPUs.
  [[nodiscard]] DType gemm_type() const { return on_gpu() ? compute_type_ : DType::f32; }

 private:
  Engine(const Deck& deck, const MpiSession& mpi, const GpuShare& gpu);

  DType compute_type_;
  std::string gpu_id_;
  std::size_t gpu_memory_;
  std::string exchange_;  ///< between GPUs, in words
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Kernels> kernels_;
  Exec exec_;
  int threads_;
};

/// Logs threads or GPU, and `gemm_rate`: GEMMs of all ranks, operations a second.
void print_compute(const Engine& engine, double gemm_rate);

/// OpenBLAS takes slow kernels on processors newer than itself. Then this starts the program
/// anew with better ones (OPENBLAS_CORETYPE) and does not return; call before anything else.
void use_best_blas_kernels(char** argv);

/// Most memory that this rank has had, in bytes: its process's, or its arrays' on a GPU.
[[nodiscard]] std::int64_t peak_bytes(const Device& device);

/// Most memory that this process has had, in bytes.
[[nodiscard]] std::int64_t peak_process_bytes();

[[nodiscard]] std::string host_name();

}  // namespace trireme
