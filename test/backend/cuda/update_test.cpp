// SPDX-License-Identifier: Apache-2.0
// Compares parameter updates on the GPU with the CPU's, with and without a step's decision.
#include "trireme/ops/update.hpp"

#include "trireme/ops/step_state.hpp"

#include "../../support/turns.hpp"
#include "twins.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

View flat(const View& v) { return v.reshape(Shape{v.count()}); }

struct Types {
  DType gradient, value, moments;
  int copy;  // a DType, or −1
};
constexpr int kNone = -1;
constexpr int kBf16 = static_cast<int>(DType::bf16);
constexpr int kF16 = static_cast<int>(DType::f16);
constexpr int kF32 = static_cast<int>(DType::f32);
constexpr Types kSets[] = {{DType::f32, DType::f32, DType::f32, kNone},
                           {DType::f32, DType::f32, DType::f32, kBf16},
                           {DType::f32, DType::f32, DType::f32, kF16},
                           {DType::bf16, DType::f32, DType::f32, kBf16},
                           {DType::f16, DType::f32, DType::f32, kF16},
                           {DType::bf16, DType::f32, DType::f32, kNone},
                           {DType::f32, DType::f32, DType::f32, kF32},
                           {DType::f32, DType::bf16, DType::f32, kNone},
                           {DType::bf16, DType::bf16, DType::bf16, kF16},
                           {DType::bf16, DType::bf16, DType::bf16, kBf16},
                           {DType::bf16, DType::bf16, DType::bf16, kNone}};
constexpr std::int64_t kCounts[] = {1, 3, 4, 517, 5000};
constexpr std::int64_t kOffsets[] = {0, 1};

/// The decision passed to an update, if any.
enum class Decided { none, updated, skipped };
constexpr Decided kDecisions[] = {Decided::none, Decided::updated, Decided::skipped};

Twin state_of(Backends& b, Decided decided) {
  StepState state;
  state.factor = 0.25;
  state.updated = decided == Decided::updated ? 1 : 0;
  state.updates = 3;
  state.bias1 = 0.2;
  state.bias2 = 0.01;
  return {b, DType::f64, 1, StepState::kSlots, {}, &state};
}

void check_update(Backends& b, const Types& t, std::int64_t n, std::int64_t offset,
                  Decided decided, bool adamw) {
  twice([&] {
    const Layout layout{0, offset};
    const DType copy_type = t.copy == kNone ? DType::f32 : static_cast<DType>(t.copy);
    const Twin gradient(b, t.gradient, 1, n, layout, 1);
    const Twin value(b, t.value, 1, n, layout, 2);
    const Twin first(b, t.moments, 1, n, layout, 3);
    const std::vector<float> squares(static_cast<std::size_t>(n + offset), 0.5F);
    std::vector<std::byte> bytes(squares.size() * size_of(t.moments));
    narrow(squares.data(), t.moments, bytes.data(), n + offset);
    const Twin second(b, t.moments, 1, n, layout, bytes.data());
    const Twin copy(b, copy_type, 1, n, layout, 0);
    const Twin state = state_of(b, decided);
    on_both(b, [&](const Side& on) {
      const ConstView decision = decided == Decided::none ? ConstView() : flat(on(state));
      const View copied = t.copy == kNone ? View() : flat(on(copy));
      if (adamw) {
        const AdamwStep step{1e-2, 0.9, 0.95, 1e-8, 0.1, 0.5, 7};
        on.kernels.run(on.stream, ops::Adamw{.step = step,
                                             .gradient = flat(on(gradient)),
                                             .value = flat(on(value)),
                                             .exp_avg = flat(on(first)),
                                             .exp_avg_sq = flat(on(second)),
                                             .copy = copied,
                                             .state = decision});
      } else {
        const SgdStep step{1e-2, t.copy == kF16 ? 0.0 : 0.9, 0.1, 0.5};
        on.kernels.run(on.stream,
                       ops::Sgd{.step = step,
                                .gradient = flat(on(gradient)),
                                .value = flat(on(value)),
                                .momentum = step.momentum == 0 ? View() : flat(on(first)),
                                .copy = copied,
                                .state = decision});
      }
    });
    for (const Twin* one : {&value, &first, &second, &copy}) {
      BOOST_TEST(one->error(decided == Decided::skipped ? 1e-300 : 2e-7) <=
                 (decided == Decided::skipped ? 0 : 1));
    }
    return value.gpu_bytes();
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(updates_are_those_of_the_cpu) {
  Backends b;
  for_pairs(
      [&](const Types& t, std::int64_t n, std::int64_t offset, Decided decided, bool adamw) {
        BOOST_TEST_CONTEXT("gradient " << name_of(t.gradient) << ", value " << name_of(t.value)
                                       << ", copy " << t.copy << ", " << n << " after "
                                       << offset) {
          check_update(b, t, n, offset, decided, adamw);
        }
      },
      kSets, kCounts, kOffsets, kDecisions, kEither);
}

BOOST_AUTO_TEST_CASE(a_step_is_decided_as_on_the_cpu) {
  Backends b;
  StepRule rule;
  rule.beta1 = 0.9;
  rule.beta2 = 0.999;
  rule.clip = 1;
  rule.skips = true;
  rule.window = 2;
  for (const double squares : {4.0, 1e-4, std::numeric_limits<double>::infinity()}) {
    StepState state;
    state.squares = squares;
    state.scale = 8;
    state.hysteresis = 1;
    state.updates = 4;
    const Twin twin(b, DType::f64, 1, StepState::kSlots, {}, &state);
    on_both(b, [&](const Side& on) {
      for (int i = 0; i < 3; ++i) {
        on.kernels.run(on.stream, ops::DecideStep{.rule = rule, .state = flat(on(twin))});
      }
    });
    BOOST_TEST(twin.error(1e-15) <= 1);
    StepState got;
    std::memcpy(&got, twin.gpu_bytes().data(), sizeof(got));
    BOOST_TEST(got.updates == (std::isfinite(squares) ? 7 : 4));
  }
}
