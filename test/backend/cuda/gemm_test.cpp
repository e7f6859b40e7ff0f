// SPDX-License-Identifier: Apache-2.0
// Compares GEMMs on the GPU with the CPU's: operations, types, odd sizes, strides, and fused
// epilogues.
#include "trireme/ops/gemm.hpp"

#include <cmath>
#include <cstdlib>

#include "trireme/ops/elementwise.hpp"

#include "twins.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

/// A twin of one row, as a vector.
View vector_of(const View& row) { return row.reshape(Shape{row.count()}); }

/// The error to expect of a sum of `terms` terms of size 1.
double sums_of(std::int64_t terms) {
  return 0x1p-21 * (1 + std::sqrt(static_cast<double>(terms)));
}

struct Size {
  std::int64_t m, n, k;
};
constexpr Size kSizes[] = {{1, 1, 1}, {3, 5, 7}, {17, 1, 9}, {1, 24, 40}, {33, 31, 65}};

void check_gemm(Backends& b, DType from, DType to, const Size& z, std::int64_t gap) {
  for (const Op op_a : {Op::n, Op::t}) {
    for (const Op op_b : {Op::n, Op::t}) {
      const Twin x =
          op_a == Op::n ? Twin(b, from, z.m, z.k, {gap}, 1) : Twin(b, from, z.k, z.m, {gap}, 1);
      const Twin y =
          op_b == Op::n ? Twin(b, from, z.k, z.n, {gap}, 2) : Twin(b, from, z.n, z.k, {gap}, 2);
      const Twin bias(b, from, 1, z.n, {0}, 3);
      for (const double beta : {0.0, 1.0}) {
        for (const bool with_bias : {false, true}) {
          Twin c(b, to, z.m, z.n, {gap}, beta == 0 ? 0 : 4);
          const double alpha = with_bias ? 0.75 : 1;
          b.gpu_kernels->run(*b.compute,
                             ops::Gemm{.a = x.gpu(),
                                       .op_a = op_a,
                                       .b = y.gpu(),
                                       .op_b = op_b,
                                       .c = c.gpu(),
                                       .alpha = alpha,
                                       .beta = beta,
                                       .bias = with_bias ? vector_of(bias.gpu()) : View()});
          b.cpu_kernels->run(*b.cpu_stream,
                             ops::Gemm{.a = x.cpu(),
                                       .op_a = op_a,
                                       .b = y.cpu(),
                                       .op_b = op_b,
                                       .c = c.cpu(),
                                       .alpha = alpha,
                                       .beta = beta,
                                       .bias = with_bias ? vector_of(bias.cpu()) : View()});
          // The bias may be added to c first, in half precision: the result is rounded twice.
          const double slack = beta == 1 && with_bias && to != DType::f32 ? 2 : 1;
          BOOST_TEST(c.error(sums_of(z.k), slack) <= 1,
                     name_of(from) << " to " << name_of(to) << ", " << z.m << "×" << z.n << "×"
                                   << z.k << ", gap " << gap << ", beta " << beta << ", bias "
                                   << with_bias << ": " << c.error(sums_of(z.k), slack));
        }
      }
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_gemm)

BOOST_AUTO_TEST_CASE(products_of_all_types_sizes_and_strides) {
  Backends b;
  for (const DType from : kTypes) {
    for (const DType to : {from, DType::f32}) {
      for (const Size& z : kSizes) {
        for (const std::int64_t gap : {0, 3, 8}) check_gemm(b, from, to, z, gap);
      }
      if (from == DType::f32) break;
    }
  }
}

BOOST_AUTO_TEST_CASE(the_timed_search_leaves_results_alone) {
  Backends b({.gemm_autotune = true});
  for (int again = 0; again < 2; ++again) {
    check_gemm(b, DType::bf16, DType::f32, {33, 31, 65}, 3);
    check_gemm(b, DType::f32, DType::f32, {8, 16, 24}, 0);
  }
}

BOOST_AUTO_TEST_CASE(nothing_to_sum_and_nothing_to_write) {
  Backends b;
  for (const DType type : kTypes) {
    for (const Size& z : {Size{4, 5, 0}, Size{0, 5, 3}, Size{4, 0, 3}}) {
      const Tensor x(*b.gpu, type, Shape{z.m, z.k});
      const Tensor y(*b.gpu, type, Shape{z.k, z.n});
      const Twin bias(b, type, 1, std::max<std::int64_t>(z.n, 1), {0}, 3);
      for (const bool with_bias : {false, true}) {
        for (const double beta : {0.0, 1.0}) {
          Twin c(b, type, z.m, z.n, {2}, 5);
          const Tensor cx(*b.cpu, type, Shape{z.m, z.k});
          const Tensor cy(*b.cpu, type, Shape{z.k, z.n});
          b.gpu_kernels->run(*b.compute,
                             ops::Gemm{.a = x,
                                       .b = y,
                                       .c = c.gpu(),
                                       .beta = beta,
                                       .bias = with_bias ? vector_of(bias.gpu()) : View()});
          for (std::int64_t r = 0; r < z.m && z.k == 0; ++r) {
            const View row = c.cpu().slice_rows(r, 1);
            if (beta == 0) b.cpu->zero(row.raw(), row.bytes(), *b.cpu_stream);
            if (with_bias) {
              b.cpu_kernels->run(
                  *b.cpu_stream,
                  ops::Add{
                      .a = row, .b = vector_of(bias.cpu()).reshape(row.shape()), .y = row});
            }
          }
          BOOST_TEST(c.error(sums_of(1)) <= 1, name_of(type)
                                                   << " " << z.m << "×" << z.n << "×" << z.k);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(activations_on_the_way) {
  Backends b;
  for (const DType type : kTypes) {
    for (const Activation kind : {Activation::gelu_tanh, Activation::gelu, Activation::relu}) {
      for (const std::int64_t gap : {0, 3, 8}) {
        for (const bool with_bias : {true, false}) {
          const Twin x(b, type, 9, 24, {gap}, 1);
          const Twin weight(b, type, 40, 24, {gap}, 2);
          const Twin bias(b, type, 1, 40, {0}, 3);
          Twin before(b, type, 9, 40, {gap}, 4);
          Twin y(b, type, 9, 40, {gap}, 5);
          b.gpu_kernels->run(*b.compute, ops::GemmActivation{
                                             .kind = kind,
                                             .x = x.gpu(),
                                             .weight = weight.gpu(),
                                             .bias = with_bias ? vector_of(bias.gpu()) : View(),
                                             .before = before.gpu(),
                                             .y = y.gpu()});
          b.cpu_kernels->run(
              *b.cpu_stream,
              ops::GemmActivation{.kind = kind,
                                  .x = x.cpu(),
                                  .weight = weight.cpu(),
                                  .bias = with_bias ? vector_of(bias.cpu()) : View(),
                                  .before = before.cpu(),
                                  .y = y.cpu()});
          BOOST_TEST(before.error(sums_of(24)) <= 1);
          // A fused activation uses the unrounded argument. The derivative is at most 1.13.
          const double argument = 1.13 * rounding(type) * before.largest();
          BOOST_TEST(y.error(2 * sums_of(24) + argument) <= 1);
        }
        const Twin dy(b, type, 9, 24, {gap}, 6);
        const Twin weight(b, type, 24, 40, {gap}, 7);
        const Twin before(b, type, 9, 40, {gap}, 8);
        Twin dx(b, type, 9, 40, {gap}, 9);
        b.gpu_kernels->run(*b.compute, ops::GemmActivationBackward{.kind = kind,
                                                                   .dy = dy.gpu(),
                                                                   .weight = weight.gpu(),
                                                                   .before = before.gpu(),
                                                                   .dx = dx.gpu()});
        b.cpu_kernels->run(*b.cpu_stream, ops::GemmActivationBackward{.kind = kind,
                                                                      .dy = dy.cpu(),
                                                                      .weight = weight.cpu(),
                                                                      .before = before.cpu(),
                                                                      .dx = dx.cpu()});
        // A fused gradient uses the unrounded product, of 4 at most here, and a tanh of 11
        // bits.
        const double tanh = type == DType::f32 ? 0 : 4 * 0x1p-11;
        BOOST_TEST(dx.error(2 * sums_of(24) + tanh, 2) <= 1);
      }
    }
  }
}

/// cuBLASLt may refuse an epilogue that its heuristic found; separate kernels must take over.
BOOST_AUTO_TEST_CASE(a_refused_epilogue_falls_back) {
  for (const bool autotune : {false, true}) {
    Backends b({.gemm_autotune = autotune});
    setenv("TRIREME_EMULATED_EPILOGUES_REFUSED", "1", 1);
    for (int round = 0; round < 2; ++round) {
      const Twin x(b, DType::bf16, 9, 16, {0}, 1);
      const Twin w(b, DType::bf16, 24, 16, {0}, 2);
      const Twin bias(b, DType::bf16, 1, 24, {0}, 3);
      Twin y(b, DType::bf16, 9, 24, {0}, 4);
      b.gpu_kernels->run(*b.compute, ops::Gemm{.a = x.gpu(),
                                               .b = w.gpu(),
                                               .op_b = Op::t,
                                               .c = y.gpu(),
                                               .bias = vector_of(bias.gpu())});
      b.cpu_kernels->run(*b.cpu_stream, ops::Gemm{.a = x.cpu(),
                                                  .b = w.cpu(),
                                                  .op_b = Op::t,
                                                  .c = y.cpu(),
                                                  .bias = vector_of(bias.cpu())});
      BOOST_TEST(y.error(sums_of(16), 2) <= 1);
    }
    unsetenv("TRIREME_EMULATED_EPILOGUES_REFUSED");
  }
}

/// The emulator ends the program if an array is less aligned than cuBLASLt was promised.
BOOST_AUTO_TEST_CASE(a_plan_serves_arrays_of_its_alignment_alone) {
  Backends b;
  for (const std::int64_t offset : {0, 8, 1, 128, 16}) {  // 256, 16, 2, 256 and 32 bytes apart
    const Twin x(b, DType::bf16, 16, 32, {0, offset}, 1);
    const Twin w(b, DType::bf16, 32, 16, {0, offset}, 2);
    const Twin y(b, DType::bf16, 16, 16, {0, offset}, 4);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::Gemm{.a = on(x), .b = on(w), .c = on(y)});
    });
    BOOST_TEST(y.error(sums_of(32)) <= 1);
  }
}

/// Adds up the columns of 1,000 rows, and returns the GPU's bias gradient.
std::vector<std::byte> bias_gradient(const char* tuning) {
  setenv("TRIREME_CUDA_TUNING", tuning, 1);
  Backends b;
  unsetenv("TRIREME_CUDA_TUNING");
  const Twin dy(b, DType::f32, 1000, 20, {0}, 1);
  const Twin x(b, DType::f32, 1000, 12, {0}, 2);
  const Twin dweight(b, DType::f32, 20, 12, {0}, 3);
  const Twin dbias(b, DType::f32, 1, 20, {0}, 4);
  on_both(b, [&](const Side& on) {
    on.kernels.run(
        on.stream,
        ops::AccumulateWeightGradient{
            .dy = on(dy), .x = on(x), .dweight = on(dweight), .dbias = vector_of(on(dbias))});
  });
  BOOST_TEST(dweight.error(2 * sums_of(1000)) <= 1);
  BOOST_TEST(dbias.error(2 * sums_of(1000)) <= 1);
  return dbias.gpu_bytes();
}

/// Each way of adding has an order of its own, which the last bits show.
BOOST_AUTO_TEST_CASE(the_environment_chooses_how_bias_gradients_are_added) {
  const auto fused = bias_gradient("");
  const auto separate = bias_gradient("bias_gradient_epilogue=0");
  BOOST_TEST((fused != separate));
  BOOST_TEST((bias_gradient("bias_gradient_epilogue=0,column_parts=7") != separate));
  BOOST_TEST((bias_gradient("bias_gradient_epilogue=1") == fused));
}

BOOST_AUTO_TEST_CASE(weight_gradients_with_the_bias_gradient) {
  Backends b;
  for (const DType type : kTypes) {
    for (const std::int64_t tokens : {1, 37}) {
      for (const std::int64_t gap : {0, 3}) {
        const Twin dy(b, type, tokens, 20, {gap}, 1);
        const Twin x(b, type, tokens, 12, {gap}, 2);
        Twin dweight(b, DType::f32, 20, 12, {0}, 3);
        Twin dbias(b, DType::f32, 1, 20, {0}, 4);
        for (const View& sum : {vector_of(dbias.gpu()), View()}) {
          b.gpu_kernels->run(
              *b.compute,
              ops::AccumulateWeightGradient{
                  .dy = dy.gpu(), .x = x.gpu(), .dweight = dweight.gpu(), .dbias = sum});
        }
        for (const View& sum : {vector_of(dbias.cpu()), View()}) {
          b.cpu_kernels->run(
              *b.cpu_stream,
              ops::AccumulateWeightGradient{
                  .dy = dy.cpu(), .x = x.cpu(), .dweight = dweight.cpu(), .dbias = sum});
        }
        BOOST_TEST(dweight.error(sums_of(2 * tokens)) <= 1);
        BOOST_TEST(dbias.error(sums_of(tokens)) <= 1);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
