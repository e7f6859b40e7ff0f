// SPDX-License-Identifier: Apache-2.0
// Norms on the GPU against the CPU's: widths from 1 to those that a block hardly holds.
#include "trireme/ops/norm.hpp"

#include <cstdlib>

#include "../../support/turns.hpp"
#include "twins.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

struct Size {
  std::int64_t rows, cols;
};
constexpr Size kSizes[] = {{1, 1}, {3, 7}, {19, 64}, {9, 257}, {5, 768}, {4, 4096}, {2, 12288}};
constexpr Norm kKinds[] = {Norm::layernorm, Norm::rmsnorm};
constexpr double kDropouts[] = {-1, 0, 0.3};  // −1: no residual

/// RMSNorm's weights are counted from 1 here, LayerNorm's from 0.
double offset_of(Norm kind) { return kind == Norm::rmsnorm ? 1 : 0; }

View flat(const View& v) { return v.reshape(Shape{v.count()}); }

void check_forward(Backends& b, DType type, const Size& z, const Layout& layout, Norm kind,
                   double probability) {
  twice([&] {
    const Twin x(b, type, z.rows, z.cols, layout, 1);
    const Twin add(b, type, z.rows, z.cols, layout, 2);
    const Twin weight(b, type, 1, z.cols, {0, layout.offset}, 3);
    const Twin bias(b, type, 1, z.cols, {0, layout.offset}, 4);
    const Twin sum(b, type, z.rows, z.cols, layout, 0);
    const Twin y(b, type, z.rows, z.cols, layout, 0);
    const Twin statistics(b, DType::f32, z.rows, 2, {}, 0);
    const bool biased = kind == Norm::layernorm;
    on_both(b, [&](const Side& on) {
      const ConstView shift = biased ? ConstView(flat(on(bias))) : ConstView();
      if (probability < 0) {
        on.kernels.run(on.stream, ops::NormForward{.kind = kind,
                                                   .epsilon = 1e-5,
                                                   .x = on(x),
                                                   .weight = flat(on(weight)),
                                                   .bias = shift,
                                                   .weight_offset = offset_of(kind),
                                                   .y = on(y),
                                                   .statistics = on(statistics)});
      } else {
        const Residual residual{on(add), Dropout{probability, {77, 5}, 12}};
        on.kernels.run(on.stream, ops::ResidualNormForward{.kind = kind,
                                                           .epsilon = 1e-5,
                                                           .x = on(x),
                                                           .residual = residual,
                                                           .weight = flat(on(weight)),
                                                           .bias = shift,
                                                           .weight_offset = offset_of(kind),
                                                           .sum = on(sum),
                                                           .y = on(y),
                                                           .statistics = on(statistics)});
      }
    });
    // A sum that rounds the other way changes all results of its row by as much.
    const double floor = (probability < 0 ? 8 : 64) * std::max(rounding(type), 0x1p-22);
    BOOST_TEST(sum.error(rounding(type)) <= 1);
    BOOST_TEST(statistics.error(probability < 0 ? 1e-5 : 0.02) <= 1);
    BOOST_TEST(y.error(floor) <= 1);
    return y.gpu_bytes();
  });
}

void check_backward(Backends& b, DType type, DType gradients, const Size& z,
                    const Layout& layout, Norm kind, bool adds) {
  twice([&] {
    const Twin x(b, type, z.rows, z.cols, layout, 1);
    const Twin dy(b, type, z.rows, z.cols, layout, 2);
    const Twin weight(b, type, 1, z.cols, {0, layout.offset}, 3);
    const Twin dx(b, type, z.rows, z.cols, layout, adds ? 5 : 0);
    const Twin y(b, type, z.rows, z.cols, layout, 0);
    const Twin statistics(b, DType::f32, z.rows, 2, {}, 0);
    const Twin dweight(b, gradients, 1, z.cols, {}, 6);
    const Twin dbias(b, gradients, 1, z.cols, {}, 7);
    const bool biased = kind == Norm::layernorm;
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::NormForward{.kind = kind,
                                                 .epsilon = 1e-2,
                                                 .x = on(x),
                                                 .weight = flat(on(weight)),
                                                 .weight_offset = offset_of(kind),
                                                 .y = on(y),
                                                 .statistics = on(statistics)});
      on.kernels.run(on.stream, ops::NormBackward{.kind = kind,
                                                  .dy = on(dy),
                                                  .x = on(x),
                                                  .weight = flat(on(weight)),
                                                  .weight_offset = offset_of(kind),
                                                  .statistics = on(statistics),
                                                  .add = adds ? ConstView(on(dx)) : ConstView(),
                                                  .dx = on(dx),
                                                  .dweight = flat(on(dweight)),
                                                  .dbias = biased ? flat(on(dbias)) : View()});
    });
    const double n = static_cast<double>(z.rows);
    BOOST_TEST(dx.error(4 * std::max(rounding(type), 0x1p-19)) <= 1);
    BOOST_TEST(dweight.error(n * 0x1p-19) <= 1);
    BOOST_TEST(dbias.error(n * 0x1p-19) <= 1);
    std::vector<std::byte> bytes = dx.gpu_bytes();
    const std::vector<std::byte> more = dweight.gpu_bytes();
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(norms_forward_are_those_of_the_cpu) {
  Backends b;
  for_pairs(
      [&](DType type, const Size& z, const Layout& layout, Norm kind, double probability) {
        if (z.cols > 768 && probability == 0) return;
        BOOST_TEST_CONTEXT(name_of(type) << " [" << z.rows << ", " << z.cols << "] gap "
                                         << layout.gap << " offset " << layout.offset) {
          check_forward(b, type, z, layout, kind, probability);
        }
      },
      kTypes, kSizes, kLayouts, kKinds, kDropouts);
}

BOOST_AUTO_TEST_CASE(norms_backward_are_those_of_the_cpu) {
  Backends b;
  for_pairs(
      [&](DType type, const Size& z, const Layout& layout, Norm kind, bool adds) {
        const bool narrow = kind == Norm::rmsnorm;
        if (z.cols > 768 && narrow) return;
        BOOST_TEST_CONTEXT(name_of(type) << " [" << z.rows << ", " << z.cols << "] gap "
                                         << layout.gap << " offset " << layout.offset) {
          check_backward(b, type, narrow ? type : DType::f32, z, layout, kind, adds);
        }
      },
      kTypes, kSizes, kLayouts, kKinds, kEither);
}

BOOST_AUTO_TEST_CASE(the_widest_norms_are_those_of_the_cpu) {
  Backends b;
  for (const auto& [type, cols] :
       {std::pair{DType::f32, 65536}, std::pair{DType::bf16, 20000}}) {
    check_forward(b, type, {1, cols}, {}, Norm::layernorm, -1);
    check_backward(b, type, DType::f32, {2, cols}, {}, Norm::layernorm, false);
  }
  check_forward(b, DType::bf16, {2, 33000}, {}, Norm::layernorm, 0.3);
  check_forward(b, DType::bf16, {1, 65535}, {}, Norm::layernorm, -1);
  check_backward(b, DType::bf16, DType::f32, {2, 65535}, {}, Norm::layernorm, false);
}

BOOST_AUTO_TEST_CASE(long_rows_of_a_norm_are_summed_by_parts) {
  setenv("TRIREME_CUDA_TUNING", "column_parts=8", 1);  // two parts for long rows
  Backends b;
  unsetenv("TRIREME_CUDA_TUNING");
  check_backward(b, DType::f32, DType::f32, {5, 8196}, {}, Norm::layernorm, true);
  check_backward(b, DType::bf16, DType::bf16, {5, 4097}, {}, Norm::rmsnorm, true);
}

BOOST_AUTO_TEST_CASE(many_rows_of_a_norm_are_summed_by_parts) {
  Backends b;
  check_backward(b, DType::f32, DType::f32, {2500, 40}, {}, Norm::layernorm, false);
  check_backward(b, DType::bf16, DType::f32, {600, 1032}, {}, Norm::layernorm, true);
}
