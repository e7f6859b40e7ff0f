// SPDX-License-Identifier: Apache-2.0
// Threads, processors and memory of this rank.
#include "engine.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <sys/resource.h>
#include <unistd.h>

#include "trireme/backend/cpu.hpp"

namespace trireme {

namespace {

int share_of_processors(const MpiSession& mpi) {
  const auto node = mpi.node();
  auto mask = processor_mask();
  const auto count = [&] { return std::ranges::count(mask, std::uint8_t{1}); };
  const std::int64_t mine = count();
  const std::int64_t claimed = node->reduce_count(mine, Reduction::sum);
  node->all_reduce(View(mask.data(), DType::u8, Shape{static_cast<std::int64_t>(mask.size())}),
                   Reduction::max);
  // Bound ranks claim processors of their own; unbound ones all claim the same.
  return static_cast<int>(std::max<std::int64_t>(1, mine * count() / claimed));
}

int choose_threads(const Deck& deck, const MpiSession& mpi) {
  const int share = share_of_processors(mpi);
  if (deck.threads_per_rank > 0) return deck.threads_per_rank;
  if (const char* text = std::getenv("OMP_NUM_THREADS"); text != nullptr) {
    int n = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), n);
    if (error == std::errc() && n > 0) return n;
  }
  return share;
}

}  // namespace

Engine::Engine(const Deck& deck, const MpiSession& mpi)
    : device_(make_cpu_device()),
      kernels_(make_cpu_kernels()),
      stream_(device_->make_stream()),
      exec_{*device_, *kernels_, *stream_, deck.seed},
      threads_(choose_threads(deck, mpi)) {
  set_cpu_threads(threads_);
}

std::string Engine::describe() const {
  return fmt::format("{}: {} thread{} a rank, OpenBLAS {}", exec_.device.name(), threads_,
                     threads_ == 1 ? "" : "s", blas_core());
}

double Engine::gemm_rate(Communicator& world, int n, double seconds) const {
  world.barrier();
  return measure_gemm_rate(n, seconds);
}

void use_best_blas_kernels(char** argv) {
  const auto core = better_blas_core();
  if (!core) return;
  setenv("OPENBLAS_CORETYPE", core->c_str(), 1);
  execv("/proc/self/exe", argv);
  // Where that fails, the program goes on, only slower; the start-up line names the kernels.
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

}  // namespace trireme
