// SPDX-License-Identifier: Apache-2.0
// Queries the processor: its cores, its BLAS kernels, and how fast it multiplies.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <omp.h>
#include <sched.h>
#include <string_view>
#include <sys/mman.h>
#include <vector>

#include <cblas.h>

#include "trireme/backend/cpu.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"

namespace trireme {

void set_cpu_threads(int threads) { omp_set_num_threads(std::max(1, threads)); }

std::vector<std::uint8_t> processor_mask() {
  constexpr int kMost = 1 << 13;  // more than any node has; cpu_set_t of glibc ends at 1024
  std::vector<std::uint8_t> mask(kMost);
  const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(kMost),
                                                             [](cpu_set_t* s) { CPU_FREE(s); });
  const std::size_t size = CPU_ALLOC_SIZE(kMost);
  CPU_ZERO_S(size, set.get());
  if (sched_getaffinity(0, size, set.get()) != 0) {
    mask[0] = 1;
    return mask;
  }
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (CPU_ISSET_S(i, size, set.get())) mask[i] = 1;
  }
  return mask;
}

std::string blas_core() { return openblas_get_corename(); }

std::string blas_version() {
  // The text reads "OpenBLAS 0.3.21 DYNAMIC_ARCH …".
  const std::string_view config = openblas_get_config();
  const auto begin = config.find_first_of("0123456789");
  const std::string_view rest = config.substr(std::min(begin, config.size()));
  return std::string(rest.substr(0, rest.find(' '))) + ' ' + blas_core();
}

std::optional<std::string> better_blas_core() {
#if defined(__x86_64__)
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr) return std::nullopt;
  const std::string core = blas_core();
  const bool generic = core == "Prescott" || core == "Core2" || core == "Generic" ||
                       core == "Nehalem" || core == "Sandybridge";
  if (!generic) return std::nullopt;
  if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0) {
    return "SkylakeX";
  }
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) {
    return "Haswell";
  }
#endif
  return std::nullopt;
}

namespace {

/// Seconds for which threads of this process had a processor.
double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// OpenBLAS repeats a refused request for its buffer without an end.
void require_blas_buffer() {
  constexpr std::size_t kBytes = std::size_t{128} << 20U;
  void* const buffer =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TRM_REQUIRE(
      buffer != MAP_FAILED,
      "out of host memory: OpenBLAS needs a buffer of 128 MiB. Raise the limit on memory "
      "(ulimit -d, ulimit -v), or use more ranks");
  munmap(buffer, kBytes);
}

}  // namespace

GemmRate measure_gemm_rate(int n, double seconds, int threads) {
  require_blas_buffer();
  const std::size_t size = static_cast<std::size_t>(n) * static_cast<std::size_t>(n);
  const std::vector<float> a(size, 1.0F);
  const std::vector<float> b(size, 0.5F);
  std::vector<float> c(size);
  double best = 0;
  const double begin = now();
  const double used = processor_seconds();
  const double end = begin + seconds;
  do {
    const double start = now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1.0F, a.data(), n, b.data(),
                n, 0.0F, c.data(), n);
    best = std::max(best, 2.0 * n * n * n / (now() - start));
  } while (now() < end);
  const double share = (processor_seconds() - used) / ((now() - begin) * threads);
  return {best, std::clamp(share, 0.0, 1.0)};
}

}  // namespace trireme
