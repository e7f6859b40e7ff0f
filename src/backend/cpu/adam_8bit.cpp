// SPDX-License-Identifier: Apache-2.0
// AdamW with moments of 8 bits, one block at a time.
#include <array>

#include "trireme/ops/eight_bit.hpp"
#include "trireme/ops/update.hpp"

#include "adamw.hpp"
#include "kernels.hpp"
#include "update.hpp"

namespace trireme::cpu {

namespace {

/// A moment of 8 bits.
struct Coded {
  const eight_bit::Map& map;
  std::uint8_t* codes;
  float* scales;

  void load(std::int64_t block, std::int64_t n, float* x) const {
    map.decode(codes + block * eight_bit::kBlock, scales[block], n, x);
  }
  void store(std::int64_t block, std::int64_t n, const float* x) const {
    scales[block] = map.encode(x, n, codes + block * eight_bit::kBlock);
  }
};

}  // namespace

void CpuKernels::run(Stream&, const ops::Adam8bit& op) {
  const StepState* decided = decision(op.state);
  if (decided != nullptr && decided->updated == 0) return;
  AdamwStep step = op.step;
  if (decided != nullptr) step.gradient_scale *= decided->factor;
  const auto t = static_cast<double>(step.step);
  const double bias1 = decided != nullptr ? decided->bias1 : 1 - std::pow(step.beta1, t);
  const double bias2 = decided != nullptr ? decided->bias2 : 1 - std::pow(step.beta2, t);
  const Adamw<float> adamw(step, bias1, bias2);
  const Coded first{eight_bit::signed_map(), op.exp_avg.data<std::uint8_t>(),
                    op.exp_avg_scale.data<float>()};
  const Coded second{eight_bit::unsigned_map(), op.exp_avg_sq.data<std::uint8_t>(),
                     op.exp_avg_sq_scale.data<float>()};
  const std::int64_t count = op.value.count();
  constexpr std::int64_t kBlock = eight_bit::kBlock;
  parallel_for((count + kBlock - 1) / kBlock, kBlock, 1,
               [&](std::int64_t begin, std::int64_t end) {
                 Source<float> gradient(flat(op.gradient));
                 Target<float> theta(flat(op.value));
                 const View copied = flat(op.copy);
                 std::array<float, kBlock> m;
                 std::array<float, kBlock> v;
                 for (std::int64_t b = begin; b < end; ++b) {
                   const std::int64_t at = b * kBlock;
                   const std::int64_t n = std::min(kBlock, count - at);
                   first.load(b, n, m.data());
                   second.load(b, n, v.data());
                   float* now = theta.loaded(0, at, n).data();
                   adamw.apply(n, gradient.row(0, at, n).data(), now, m.data(), v.data());
                   if (!copied.empty()) copy_out(now, copied, 0, at, n);
                   theta.store();
                   first.store(b, n, m.data());
                   second.store(b, n, v.data());
                 }
               });
}

}  // namespace trireme::cpu
