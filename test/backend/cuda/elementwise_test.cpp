// SPDX-License-Identifier: Apache-2.0
// Sums, casts, copies, dropout, activations and reductions on the GPU against the CPU's.
#include "trireme/ops/elementwise.hpp"

#include "trireme/ops/activation.hpp"
#include "trireme/ops/gemm.hpp"

#include "../../support/turns.hpp"
#include "twins.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

struct Size {
  std::int64_t rows, cols;
};
constexpr Size kSizes[] = {{1, 1}, {3, 5}, {7, 64}, {5, 331}, {2, 2100}};
constexpr Activation kKinds[] = {Activation::gelu,  Activation::gelu_tanh, Activation::relu,
                                 Activation::silu,  Activation::swiglu,    Activation::geglu,
                                 Activation::reglu, Activation::geglu_tanh};

/// f(size, layout, type), its case named where it fails.
template <class F>
void in_all_shapes(F&& f) {
  for_pairs(
      [&](const Size& z, const Layout& layout, DType type) {
        BOOST_TEST_CONTEXT("[" << z.rows << ", " << z.cols << "] gap " << layout.gap
                               << " offset " << layout.offset << " " << name_of(type)) {
          f(z, layout, type);
        }
      },
      kSizes, kLayouts, kTypes);
}

Twin twin(Backends& b, DType type, const Size& z, const Layout& layout, int seed,
          float size = 1) {
  return {b, type, z.rows, z.cols, layout, seed, size};
}

void check_activation(Backends& b, const Size& z, const Layout& layout, DType type,
                      Activation kind) {
  const std::int64_t wide = (gated(kind) ? 2 : 1) * z.cols;
  const Twin x(b, type, z.rows, wide, layout, 1, 6);
  const Twin y = twin(b, type, z, layout, 0);
  const Twin dy = twin(b, type, z, layout, 3);
  const Twin more = twin(b, type, z, layout, 4);
  const Twin dx(b, type, z.rows, wide, layout, 0);
  on_both(b, [&](const Side& on) {
    on.kernels.run(on.stream, ops::ActivationForward{.kind = kind, .x = on(x), .y = on(y)});
    on.kernels.run(on.stream, ops::ActivationBackward{
                                  .kind = kind, .x = on(x), .dy = on(dy), .dx = on(dx)});
    if (!gated(kind)) {
      on.kernels.run(on.stream, ops::ActivationBackward{
                                    .kind = kind, .x = on(x), .dy = on(dy), .dx = on(dy)});
    }
    on.kernels.run(on.stream, ops::ActivationBackward{
                                  .kind = kind, .x = on(x), .dy = on(more), .dx = on(x)});
  });
  // The gate's rounding is multiplied by the other half of x, which reaches 6.
  const double gain = kind == Activation::geglu_tanh ? 6 : 1;
  const double floor = gain * (type == DType::f32 ? 4e-6 : 1e-5);
  BOOST_TEST(y.error(floor) <= 1);
  BOOST_TEST(dx.error(floor) <= 1);
  BOOST_TEST(dy.error(floor) <= 1);
  BOOST_TEST(x.error(floor) <= 1);
}

std::vector<float> gpu_floats(const Twin& t) {
  const std::vector<std::byte> bytes = t.gpu_bytes();
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

BOOST_AUTO_TEST_CASE(sums_and_casts_have_the_cpu_s_bits) {
  Backends b;
  in_all_shapes([&](const Size& z, const Layout& layout, DType type) {
    const Twin x = twin(b, type, z, layout, 1);
    const Twin y = twin(b, type, z, layout, 2);
    const Twin sum = twin(b, type, z, layout, 0);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::Add{.a = on(x), .b = on(y), .y = on(sum)});
      on.kernels.run(on.stream, ops::Add{.a = on(x), .b = on(y), .y = on(y)});  // in place
    });
    BOOST_TEST(sum.error(0x1p-40) <= 0.01);
    BOOST_TEST(y.error(0x1p-40) <= 0.01);
    for (const DType to : kTypes) {
      // Some beyond fp16's range.
      const Twin large = twin(b, type, z, layout, 3, type == DType::f16 ? 1.0F : 1e5F);
      const Twin cast = twin(b, to, z, {layout.gap, 0}, 0);
      const Twin total = twin(b, to, z, layout, 4);
      on_both(b, [&](const Side& on) {
        on.kernels.run(on.stream, ops::Cast{.x = on(large), .y = on(cast)});
        on.kernels.run(on.stream, ops::Accumulate{.x = on(x), .y = on(total)});
      });
      BOOST_TEST(cast.error(0x1p-40) <= 0.01);
      BOOST_TEST(total.error(0x1p-40) <= 0.01);
    }
  });
}

BOOST_AUTO_TEST_CASE(fp64_is_copied_and_accumulated) {
  Backends b;
  in_all_shapes([&](const Size& z, const Layout& layout, DType type) {
    if (type != DType::f32) return;  // once
    const Twin x = twin(b, DType::f64, z, layout, 1);
    const Twin y = twin(b, DType::f64, z, layout, 2);
    const Twin copy = twin(b, DType::f64, z, layout, 0);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::Accumulate{.x = on(x), .y = on(y)});
      on.kernels.run(on.stream, ops::Copy{.x = on(x), .y = on(copy)});
    });
    BOOST_TEST(y.error(1e-300) <= 0.01);
    BOOST_TEST(copy.error(1e-300) <= 0.01);
  });
}

BOOST_AUTO_TEST_CASE(copies_take_any_stride) {
  Backends b;
  in_all_shapes([&](const Size& z, const Layout& layout, DType type) {
    const Twin x = twin(b, type, z, layout, 1);
    const Twin y = twin(b, type, z, {5, 0}, 0);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::Copy{.x = on(x), .y = on(y)});
    });
    BOOST_TEST(y.error(0x1p-60) == 0);
  });
}

BOOST_AUTO_TEST_CASE(dropout_draws_the_cpu_s_mask) {
  Backends b;
  in_all_shapes([&](const Size& z, const Layout& layout, DType type) {
    // Windows on a wider array begin at any multiple of four columns.
    const std::uint32_t first_column = layout.gap > 0 ? 12U : 0U;
    const Dropout spec{0.4, {0x123456789abcdefULL, 99}, 0x1ffffffffULL, first_column};
    const Twin x = twin(b, type, z, layout, 1);
    const Twin add = twin(b, type, z, layout, 2);
    const Twin alone = twin(b, type, z, layout, 0);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::ApplyDropout{.x = on(x), .dropout = spec, .y = on(alone)});
      on.kernels.run(on.stream, ops::ApplyDropout{
                                    .x = on(x), .dropout = spec, .add = on(add), .y = on(add)});
    });
    BOOST_TEST(alone.error(0x1p-40) <= 1);
    BOOST_TEST(add.error(0x1p-22) <= 1);
  });
}

BOOST_AUTO_TEST_CASE(factors_and_caps_are_those_of_the_cpu) {
  Backends b;
  for_pairs(
      [&](const Size& z, const Layout& layout, DType type) {
        const Twin x(b, type, z.rows, z.cols, layout, 1, 3);
        const Twin scaled(b, type, z.rows, z.cols, layout, 0);
        const Twin capped(b, type, z.rows, z.cols, layout, 0);
        const Twin dx(b, type, z.rows, z.cols, layout, 2);
        on_both(b, [&](const Side& on) {
          on.kernels.run(on.stream, ops::Scale{.x = on(x), .factor = 2.5, .y = on(scaled)});
          on.kernels.run(on.stream, ops::Softcap{.cap = 2, .x = on(x), .y = on(capped)});
          on.kernels.run(on.stream, ops::SoftcapGradient{
                                        .cap = 2, .y = on(capped), .dy = on(dx), .dx = on(dx)});
        });
        BOOST_TEST(scaled.error(0x1p-22) <= 1);
        BOOST_TEST(capped.error(0x1p-20) <= 1);
        BOOST_TEST(dx.error(4 * std::max(rounding(type), 0x1p-20)) <= 1);
      },
      kSizes, kLayouts, kTypes);
}

BOOST_AUTO_TEST_CASE(activations_are_those_of_the_cpu) {
  Backends b;
  for_pairs(
      [&](const Size& z, const Layout& layout, DType type, Activation kind) {
        BOOST_TEST_CONTEXT("[" << z.rows << ", " << z.cols << "] gap " << layout.gap
                               << " offset " << layout.offset << " " << name_of(type)
                               << " activation " << static_cast<int>(kind)) {
          check_activation(b, z, layout, type, kind);
        }
      },
      kSizes, kLayouts, kTypes, kKinds);
}

BOOST_AUTO_TEST_CASE(the_tails_of_activations_are_finite) {
  Backends b;
  const std::vector<float> ends = {-1e30F, -200, -90, -40, 40, 90, 200, 1e30F};
  for (const Activation kind : {Activation::gelu, Activation::relu, Activation::silu}) {
    const Twin x(b, DType::f32, 1, 8, {}, ends.data());
    const Twin one(b, DType::f32, 1, 8, {}, std::vector<float>(8, 1).data());
    const Twin y(b, DType::f32, 1, 8, {}, 0);
    const Twin dx(b, DType::f32, 1, 8, {}, 0);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::ActivationForward{.kind = kind, .x = on(x), .y = on(y)});
      on.kernels.run(on.stream, ops::ActivationBackward{
                                    .kind = kind, .x = on(x), .dy = on(one), .dx = on(dx)});
    });
    for (const float v : gpu_floats(y)) BOOST_TEST(std::isfinite(v));
    for (const float v : gpu_floats(dx)) BOOST_TEST(std::isfinite(v));
  }
}

BOOST_AUTO_TEST_CASE(reductions_are_those_of_the_cpu) {
  Backends b;
  const double start = 3;
  in_all_shapes([&](const Size& z, const Layout& layout, DType type) {
    twice([&] {
      const Twin x = twin(b, type, z, layout, 1);
      const Twin total(b, DType::f64, 1, 1, {}, &start);
      const Twin wide(b, DType::f32, 1, z.cols, {}, 2);
      const Twin narrow(b, type, 1, z.cols, {0, 1}, 3);
      on_both(b, [&](const Side& on) {
        on.kernels.run(on.stream, ops::AccumulateSquares{.x = on(x),
                                                         .total = on(total).reshape(Shape{1})});
        on.kernels.run(on.stream,
                       ops::AccumulateRows{.x = on(x), .sum = on(wide).reshape(Shape{z.cols})});
        on.kernels.run(on.stream, ops::AccumulateRows{
                                      .x = on(x), .sum = on(narrow).reshape(Shape{z.cols})});
      });
      BOOST_TEST(total.error(1e-11) <= 1);
      BOOST_TEST(wide.error(1e-6) <= 1);
      BOOST_TEST(narrow.error(1e-6) <= 1);
      return wide.gpu_bytes();
    });
  });
}

BOOST_AUTO_TEST_CASE(long_reductions_go_by_parts) {
  Backends b;
  const double start = 0;
  twice([&] {
    const Twin x(b, DType::bf16, 3000, 300, {0, 1}, 1);
    const Twin total(b, DType::f64, 1, 1, {}, &start);
    const Twin sum(b, DType::f32, 1, 300, {}, 2);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream,
                     ops::AccumulateSquares{.x = on(x), .total = on(total).reshape(Shape{1})});
      on.kernels.run(on.stream,
                     ops::AccumulateRows{.x = on(x), .sum = on(sum).reshape(Shape{300})});
    });
    BOOST_TEST(total.error(1e-6) <= 1);
    BOOST_TEST(sum.error(1e-4) <= 1);
    std::vector<std::byte> bytes = sum.gpu_bytes();
    const std::vector<std::byte> more = total.gpu_bytes();
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
  });
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_is_found) {
  Backends b;
  in_all_shapes([&](const Size& z, const Layout& layout, DType type) {
    const std::int64_t stride = z.cols + layout.gap;
    std::vector<float> values = numbers(layout.offset + z.rows * stride, 1);
    const auto make = [&] {
      std::vector<std::byte> bytes(values.size() * size_of(type));
      narrow(values.data(), type, bytes.data(), static_cast<std::int64_t>(values.size()));
      return Twin(b, type, z.rows, z.cols, layout, bytes.data());
    };
    const std::int64_t before = 900;
    const Twin least(b, DType::i64, 1, 1, {}, &before);
    const auto note = [&](const Twin& x, std::int64_t code) {
      b.gpu_kernels->run(*b.compute,
                         ops::NoteNonFinite{.x = x.gpu(), .code = code, .least = least.gpu()});
      std::int64_t now = 0;
      std::memcpy(&now, least.gpu_bytes().data(), sizeof(now));
      return now;
    };
    if (layout.gap > 0) values.back() = std::numeric_limits<float>::quiet_NaN();  // a gap
    const Twin clean = make();
    BOOST_TEST(b.gpu_kernels->first_non_finite(*b.compute, clean.gpu()) == -1);
    BOOST_TEST(note(clean, 5) == 900);
    const std::int64_t row = z.rows - 1;
    const std::int64_t col = z.cols / 2;
    const auto at = static_cast<std::size_t>(layout.offset + row * stride + col);
    values[at] = -std::numeric_limits<float>::infinity();
    values[at + static_cast<std::size_t>(z.cols - 1 - col)] =
        std::numeric_limits<float>::infinity();
    const Twin bad = make();
    BOOST_TEST(b.gpu_kernels->first_non_finite(*b.compute, bad.gpu()) == row * z.cols + col);
    BOOST_TEST(note(bad, 70) == 70);
    BOOST_TEST(note(bad, 71) == 70);
  });
}
