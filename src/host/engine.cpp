// SPDX-License-Identifier: Apache-2.0
// Chooses threads or a GPU for this rank, and reports its memory.
#include "trireme/host/engine.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include "trireme/backend/cpu.hpp"
#include "trireme/backend/cuda.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"

#include "gemm_rate.hpp"

namespace trireme {

namespace {

constexpr const char* kNccl = "NCCL";

/// Whether this run uses GPUs. Either all ranks do or none.
bool wants_gpus(const Deck& deck, Communicator& world) {
  using Kind = Deck::ComputeDevice;
  if (deck.device == Kind::cpu) return false;
  const std::string trouble = cuda_trouble();
  if (deck.device == Kind::cuda) {
    collectively(world, [&] {
      TRM_REQUIRE(trouble.empty(), "device: cuda, but on {} {}", host_name(), trouble);
    });
    return true;
  }
  const std::int64_t with = world.reduce_count(trouble.empty() ? 1 : 0, Reduction::sum);
  if (with > 0) {
    collectively(world, [&] {
      TRM_REQUIRE(trouble.empty(),
                  "{} of {} ranks see a GPU; on {} {}. Give every rank a GPU, or set "
                  "device: cpu",
                  with, world.size(), host_name(), trouble);
    });
  }
  return with > 0;
}

/// Throws Error where the environments of two ranks tune the kernels differently. Collective.
void check_tuning(Communicator& world) {
  const std::string mine = collectively(world, [] { return cuda_tuning(); });
  const std::string first = world.broadcast_text(mine, 0);
  collectively(world, [&] {
    TRM_REQUIRE(
        mine == first,
        "TRIREME_CUDA_TUNING must be equal on all ranks: rank 0 has [{}], rank {} on {} "
        "has [{}]; let mpirun export the variable (-x TRIREME_CUDA_TUNING)",
        first, world.rank(), host_name(), mine);
  });
}

GpuShare share_of_gpus(const Deck& deck, const MpiSession& mpi) {
  GpuShare gpu;
  Communicator& world = mpi.world();
  gpu.use = wants_gpus(deck, world);
  if (!gpu.use) return gpu;
  check_tuning(world);
  gpu.index = mpi.node()->rank() % cuda_device_count();
  auto names = world.gather_text(host_name() + ' ' + cuda_device_id(gpu.index), 0);
  std::ranges::sort(names);
  const bool twice = std::ranges::adjacent_find(names) != names.end();
  gpu.shared = world.reduce_count(twice ? 1 : 0, Reduction::max) != 0;
  return gpu;
}

/// What keeps any rank from using NCCL; equal on all ranks. Collective.
std::string nccl_trouble_of_all(Communicator& world) {
  const std::string mine = nccl_trouble();
  const auto all =
      world.gather_text(mine.empty() ? "" : fmt::format("on {} {}", host_name(), mine), 0);
  const auto first = std::ranges::find_if(all, [](const auto& t) { return !t.empty(); });
  return world.broadcast_text(first == all.end() ? "" : *first, 0);
}

/// "NCCL", or its substitute and the reason for it. Throws Error where the deck asks for what
/// is not possible. Collective.
std::string choose_communication(const Deck& deck, const GpuShare& gpu, Communicator& world) {
  using Communication = Deck::Communication;
  std::string reason;
  if (world.size() == 1 && deck.communication == Communication::automatic) {
    return "staged, as there is one rank";
  }
  if (gpu.shared) {
    reason = "ranks share GPUs, which NCCL refuses: start one rank for each GPU";
  } else if (deck.communication != Communication::staged) {
    reason = nccl_trouble_of_all(world);
    if (reason.empty()) return kNccl;
  }
  if (deck.communication == Communication::nccl) {
    Error error(
        fmt::format("communication: nccl, but {}; or set communication: staged", reason));
    throw error.set_everywhere();
  }
  constexpr std::string_view kStaged = "staged through host memory";
  if (gpu.shared) return fmt::format("{}, as ranks share GPUs", kStaged);
  return reason.empty() ? std::string(kStaged)
                        : fmt::format("{}, as NCCL is not available ({})", kStaged, reason);
}

/// Calls make() on all ranks. If make() fails on any rank, the first error is thrown on all.
/// Collective.
template <class F>
auto on_all(Communicator& world, F&& make) {
  return collectively(world, [&] {
    try {
      return make();
    } catch (const Error& e) {
      throw e.saying(fmt::format("on {}: {}", host_name(), e.what()));
    }
  });
}

std::unique_ptr<Device> make_device(const GpuShare& gpu, Communicator& world) {
  if (!gpu.use) return make_cpu_device();
  return on_all(world, [&] { return make_cuda_device(gpu.index); });
}

std::unique_ptr<Kernels> make_kernels(const Deck& deck, Device& device, Communicator& world) {
  if (device.kind() == DeviceKind::cpu) return make_cpu_kernels();
  const CudaOptions options{.allow_tf32 = deck.allow_tf32,
                            .gemm_autotune = deck.gemm_autotune,
                            .attention = static_cast<FusedAttention>(deck.attention_kernel)};
  return on_all(world, [&] { return make_cuda_kernels(device, options); });
}

/// Time marks on the compute stream.
class StreamTimeLine : public TimeLine {
 public:
  explicit StreamTimeLine(Stream& stream) : stream_(stream) {}
  void mark() override { marks_.push_back(stream_.record_timed()); }
  std::vector<double> gaps() override {
    std::vector<double> seconds;
    if (marks_.empty()) return seconds;
    marks_.back()->synchronize();
    for (std::size_t i = 1; i < marks_.size(); ++i) {
      seconds.push_back(marks_[i]->seconds_since(*marks_[i - 1]));
    }
    marks_.erase(marks_.begin(), marks_.end() - 1);
    return seconds;
  }

 private:
  Stream& stream_;
  std::vector<std::unique_ptr<Event>> marks_;
};

/// Warns of keys that are for GPUs only and have no effect on CPUs.
void warn_of_gpu_keys(const Deck& deck) {
  const DeckSettings unset;
  std::vector<std::string_view> names;
  if (deck.communication != unset.communication) names.emplace_back("communication");
  if (deck.attention_kernel != unset.attention_kernel) names.emplace_back("attention_kernel");
  if (deck.allow_tf32) names.emplace_back("allow_tf32");
  if (deck.gemm_autotune) names.emplace_back("gemm_autotune");
  if (deck.cuda_graphs) names.emplace_back("cuda_graphs");
  if (deck.profile) names.emplace_back("profile");
  if (names.empty()) return;
  log::warn("this run is on CPUs; these keys are for GPUs and have no effect: {}",
            fmt::join(names, ", "));
}

}  // namespace

Engine::Engine(const Deck& deck, const MpiSession& mpi)
    : Engine(deck, mpi, share_of_gpus(deck, mpi)) {}

Engine::Engine(const Deck& deck, const MpiSession& mpi, const GpuShare& gpu)
    : compute_type_(deck.types.compute),
      gpu_id_(gpu.use ? cuda_device_id(gpu.index) : ""),
      gpu_memory_(gpu.use ? cuda_free_memory(gpu.index) : 0),
      communication_(gpu.use ? choose_communication(deck, gpu, mpi.world()) : ""),
      automatic_communication_(deck.communication == Deck::Communication::automatic),
      device_(make_device(gpu, mpi.world())),
      stream_(device_->make_stream()),
      kernels_(make_kernels(deck, *device_, mpi.world())),
      exec_{*device_, *kernels_, *stream_, deck.seed},
      cores_(node_cores(mpi)),
      threads_(threads_of_rank(deck.threads_per_rank, cores_)) {
  set_cpu_threads(threads_);
  if (!gpu.use && mpi.world().rank() == 0) warn_of_gpu_keys(deck);
}

std::string Engine::describe() const {
  if (on_gpu()) {
    return fmt::format("{}; {}; communication {}", exec_.device.name(), cuda_version(),
                       communication_);
  }
  return fmt::format("{}: {} thread{} a rank, OpenBLAS {}", exec_.device.name(), threads_,
                     threads_ == 1 ? "" : "s", blas_core());
}

Mesh Engine::mesh(const MeshShape& shape, Communicator& world) const {
  if (!on_gpu()) return {shape, world};
  auto all = world.split(0, world.rank());
  if (communication_ != kNccl) {
    auto arrays =
        make_staged_communicator(std::move(all), *device_, *stream_, mpi_takes_gpu_memory());
    return {shape, world, std::move(arrays)};
  }
  std::unique_ptr<Communicator> arrays;
  const auto failure =
      failure_of([&] { arrays = make_nccl_communicator(std::move(all), *device_, *stream_); });
  if (failure && automatic_communication_) {
    log::warn("NCCL does not start ({}): ranks communicate through host memory",
              failure->what());
  }
  const bool none = world.reduce_count(failure ? 1 : 0, Reduction::max) != 0;
  if (none && !automatic_communication_) world.agree(failure);
  if (none) {
    communication_ = "staged through host memory, as NCCL does not start";
    arrays = make_staged_communicator(world.split(0, world.rank()), *device_, *stream_,
                                      mpi_takes_gpu_memory());
  }
  Mesh mesh(shape, world, std::move(arrays));
  // NCCL's first messages were longer than a small model's memory.
  device_->trim();
  device_->reset_peak();
  return mesh;
}

std::unique_ptr<TimeLine> Engine::time_line() const {
  if (!on_gpu()) return std::make_unique<HostTimeLine>();
  return std::make_unique<StreamTimeLine>(*stream_);
}

void Engine::profile(const Deck& deck, std::int64_t iteration) const {
  if (!deck.profile) return;
  const bool start = iteration == deck.profile_step_start;
  if (!start && iteration != deck.profile_step_stop) return;
  stream_->synchronize();
  start ? device_->start_profiler() : device_->stop_profiler();
}

GemmRate Engine::gemm_rate(Communicator& world, int n, double seconds) const {
  world.barrier();
  if (!on_gpu()) return measure_gemm_rate(n, seconds, threads_);
  const double rate = measure_device_gemm_rate(exec_, compute_type_, 8192, seconds);
  exec_.device.trim();
  exec_.device.reset_peak();
  return {rate, 1};
}

std::int64_t peak_bytes(const Device& device) {
  return device.kind() == DeviceKind::cuda ? static_cast<std::int64_t>(device.memory().peak)
                                           : peak_process_bytes();
}

std::int64_t peak_process_bytes() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<std::int64_t>(use.ru_maxrss) * 1024;
}

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

void print_compute(const Engine& engine, double gemm_rate) {
  log::info("compute  {}, {:.0f} GFLOP/s of {} GEMMs over all ranks", engine.describe(),
            gemm_rate * 1e-9, name_of(engine.gemm_type()));
  if (!engine.on_gpu()) return;
  const std::string tuning = cuda_tuning();
  if (!tuning.empty()) log::info("tuning   {}", tuning);
}

}  // namespace trireme
