// SPDX-License-Identifier: Apache-2.0
// Times GEMMs between events.
#include "gemm_rate.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "trireme/core/random.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/gemm.hpp"

namespace trireme {

namespace {

Tensor random_matrix(const Exec& ex, DType type, std::int64_t n, std::uint32_t stream) {
  std::vector<float> host(static_cast<std::size_t>(n * n));
  for (std::size_t i = 0; i < host.size(); i += 4) {
    const auto words = philox({.seed = 1, .stream = stream}, i);
    for (std::size_t j = 0; j < std::min<std::size_t>(4, host.size() - i); ++j) {
      host[i + j] = static_cast<float>(unit_interval(words[j]) - 0.5);
    }
  }
  const Tensor wide = ex.make(DType::f32, Shape{n, n});
  ex.device.copy_from_host(wide.view().raw(), host.data(), wide.view().bytes(), ex.stream);
  Tensor x = ex.make(type, Shape{n, n});
  ops::cast(ex, wide, x);
  ex.stream.synchronize();
  return x;
}

/// Seconds of one GEMM, the best of several that together take about `budget` seconds.
double time_gemm(const Exec& ex, DType type, std::int64_t n, double budget) {
  const Tensor a = random_matrix(ex, type, n, 1);
  const Tensor b = random_matrix(ex, type, n, 2);
  const Tensor c = ex.make(type, Shape{n, n});
  double best = 0;
  double spent = 0;
  for (int round = 0; round < 2 || (spent < budget && round < 1000); ++round) {
    const auto begin = ex.stream.record_timed();
    ops::gemm_into(ex, {.a = a, .b = b, .op_b = Op::t, .c = c});
    const auto end = ex.stream.record_timed();
    end->synchronize();
    const double taken = end->seconds_since(*begin);
    spent += taken;
    if (round == 0) continue;  // round 0 sets up
    best = round == 1 ? taken : std::min(best, taken);
  }
  return best;
}

}  // namespace

double measure_device_gemm_rate(const Exec& ex, DType type, int n, double seconds) {
  double best = 0;
  for (std::int64_t size = 256; size <= n; size *= 2) {
    const double taken = time_gemm(ex, type, size, seconds / 4);
    best = std::max(best, 2.0 * std::pow(static_cast<double>(size), 3) / taken);
    if (taken > seconds / 4) break;  // the next size would take eight times as long
  }
  return best;
}

}  // namespace trireme
