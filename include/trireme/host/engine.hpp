// SPDX-License-Identifier: Apache-2.0
// The resources that this rank computes with: device, kernels, stream and threads.
#pragma once

#include <memory>
#include <string>

#include "trireme/backend/cpu.hpp"
#include "trireme/comm/mesh.hpp"
#include "trireme/comm/mpi.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/host/processors.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

/// The GPU that a rank uses.
struct GpuShare {
  bool use = false;
  int index = 0;        ///< index among the GPUs that the rank sees
  bool shared = false;  ///< whether any two ranks of the job share a GPU
};

class Engine {
 public:
  /// Selects GPUs if the deck says `cuda`, or if the deck says `auto` and all ranks see a GPU.
  /// A rank's number on its node selects its GPU; ranks share GPUs where a node has fewer. The
  /// thread count is the deck's threads_per_rank, else OMP_NUM_THREADS, else an equal share of
  /// this node's cores. Throws Error where the deck says `cuda` and a rank can't have a
  /// GPU. Collective.
  Engine(const Deck& deck, const MpiSession& mpi);

  [[nodiscard]] const Exec& exec() const { return exec_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] const NodeShare& cores() const { return cores_; }
  [[nodiscard]] bool on_gpu() const { return exec_.device.kind() == DeviceKind::cuda; }
  /// An id that distinguishes this rank's GPU from others; "" on a CPU.
  [[nodiscard]] const std::string& gpu_id() const { return gpu_id_; }
  /// Bytes of GPU memory for this job: those free just before the engine was made. 0 on a CPU.
  [[nodiscard]] std::size_t gpu_memory() const { return gpu_memory_; }
  /// The device in words: "cpu: 2 threads, OpenBLAS SkylakeX".
  [[nodiscard]] std::string describe() const;
  /// The communicators of this run's mesh, for arrays on the device. Where NCCL was chosen here
  /// and does not start, host memory takes its place, with a warning. Collective over `world`.
  [[nodiscard]] Mesh mesh(const MeshShape& shape, Communicator& world) const;
  /// The clock by which the phases of steps are measured.
  [[nodiscard]] std::unique_ptr<TimeLine> time_line() const;
  /// Starts or stops a CUDA profiler if the deck says so for the coming `iteration`.
  void profile(const Deck& deck, std::int64_t iteration) const;
  /// This rank's GEMM rate in operations a second, while all ranks compute. Collective.
  [[nodiscard]] GemmRate gemm_rate(Communicator& world, int n, double seconds) const;
  /// The type of the GEMMs in gemm_rate(): fp32 on CPUs, the deck's type on GPUs.
  [[nodiscard]] DType gemm_type() const { return on_gpu() ? compute_type_ : DType::f32; }

 private:
  Engine(const Deck& deck, const MpiSession& mpi, const GpuShare& gpu);

  DType compute_type_;
  std::string gpu_id_;
  std::size_t gpu_memory_;
  /// How GPUs communicate, in words. mesh() may find that NCCL does not start.
  mutable std::string communication_;
  bool automatic_communication_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Kernels> kernels_;
  Exec exec_;
  NodeShare cores_;
  int threads_;
};

/// Logs the threads or the GPU, and `gemm_rate`: operations a second over all ranks.
void print_compute(const Engine& engine, double gemm_rate);

/// Peak memory of this rank in bytes: its process on a CPU, its arrays on a GPU.
[[nodiscard]] std::int64_t peak_bytes(const Device& device);

/// Peak memory of this process in bytes.
[[nodiscard]] std::int64_t peak_process_bytes();

[[nodiscard]] std::string host_name();

}  // namespace trireme
