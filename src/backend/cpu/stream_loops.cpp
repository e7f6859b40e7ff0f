// SPDX-License-Identifier: Apache-2.0
// Memory-bound loops, the yardstick for the speed of an update.
#include <bit>

#include "trireme/backend/cpu.hpp"

#include "parallel.hpp"

namespace trireme {

void run_stream_loop(StreamLoop loop, const std::array<View, 5>& arrays) {
  const auto* const a = arrays[0].data<float>();
  auto* const b = arrays[1].data<float>();
  auto* const c = arrays[2].data<float>();
  auto* const d = arrays[3].data<float>();
  auto* const e = static_cast<std::uint16_t*>(arrays[4].raw());
  constexpr float s = 0.5F;
  const auto run = [&](auto&& element) {
    cpu::parallel_for(arrays[0].count(), 1, 1024, [&](std::int64_t begin, std::int64_t end) {
#ifndef __clang__  // clang vectorises the loop without the pragma
#pragma GCC ivdep
#endif
      for (std::int64_t i = begin; i < end; ++i) element(i);
    });
  };
  const auto update = [=](std::int64_t i) {
    c[i] = s * c[i] + a[i];
    d[i] = s * d[i] + a[i];
    b[i] = s * b[i] + c[i] * d[i];
  };
  switch (loop) {
    case StreamLoop::copy:
      return run([=](std::int64_t i) { b[i] = a[i]; });
    case StreamLoop::triad:
      return run([=](std::int64_t i) { c[i] = a[i] + s * b[i]; });
    case StreamLoop::update:
      return run(update);
    case StreamLoop::mixed_update:
      return run([=](std::int64_t i) {
        update(i);
        e[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(b[i]) >> 16U);
      });
  }
}

}  // namespace trireme
