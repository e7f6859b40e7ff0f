// SPDX-License-Identifier: Apache-2.0
// Products on the GPU against the CPU's: operations, types, odd sizes, strides, and what is
// done to a product on its way.
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"
#include "trireme/backend/cuda.hpp"
#include "trireme/core/convert.hpp"

namespace {

using namespace trireme;

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};
const float kNan = std::numeric_limits<float>::quiet_NaN();

/// Half a unit in the last place of 1.
double rounding(DType t) {
  return t == DType::f32 ? 0x1p-24 : t == DType::bf16 ? 0x1p-8 : 0x1p-11;
}

std::vector<float> numbers(std::int64_t n, int seed) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::uint32_t state = 2654435761U * static_cast<std::uint32_t>(seed + 1);
  for (float& v : values) {
    state = state * 1664525U + 1013904223U;
    v = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31F;
  }
  return values;
}

struct Backends {
  explicit Backends(const CudaOptions& options = {}) {
    gpu_kernels = make_cuda_kernels(*gpu, *compute, options);
  }
  std::unique_ptr<Device> gpu = make_cuda_device(0);
  std::unique_ptr<Stream> compute = gpu->make_stream();
  std::unique_ptr<Kernels> gpu_kernels;
  std::unique_ptr<Device> cpu = make_cpu_device();
  std::unique_ptr<Stream> cpu_stream = cpu->make_stream();
  std::unique_ptr<Kernels> cpu_kernels = make_cpu_kernels();
};

/// The same matrix on both: [rows, cols] in rows of cols + gap elements.
class Twin {
 public:
  Twin(Backends& b, DType type, std::int64_t rows, std::int64_t cols, std::int64_t gap,
       const std::vector<float>& values)
      : b_(b),
        type_(type),
        count_(rows * (cols + gap)),
        gpu_(*b.gpu, type, Shape{rows, cols + gap}),
        cpu_(*b.cpu, type, Shape{rows, cols + gap}),
        cols_(cols) {
    BOOST_REQUIRE(static_cast<std::int64_t>(values.size()) == count_);
    narrow(values.data(), type, cpu_.view().raw(), count_);
    b.gpu->copy_from_host(gpu_.view().raw(), cpu_.view().raw(), cpu_.view().bytes(),
                          *b.compute);
    b.compute->synchronize();
  }
  Twin(Backends& b, DType type, std::int64_t rows, std::int64_t cols, std::int64_t gap,
       int seed)
      : Twin(b, type, rows, cols, gap, numbers(rows * (cols + gap), seed)) {}

  [[nodiscard]] View gpu() const { return gpu_.view().slice_cols(0, cols_); }
  [[nodiscard]] View cpu() const { return cpu_.view().slice_cols(0, cols_); }
  [[nodiscard]] View gpu_row() const { return gpu().reshape(Shape{count_}); }
  [[nodiscard]] View cpu_row() const { return cpu().reshape(Shape{count_}); }

  /// The largest difference, in units of what rounding to the type and sums of `terms` terms
  /// of size 1 may make of it. Gaps must be equal.
  [[nodiscard]] double error(std::int64_t terms, double slack = 1) {
    std::vector<std::byte> raw(cpu_.view().bytes());
    b_.gpu->copy_to_host(raw.data(), gpu_.view().raw(), raw.size(), *b_.compute);
    b_.compute->synchronize();
    std::vector<float> got(static_cast<std::size_t>(count_));
    std::vector<float> expected(got.size());
    widen(type_, raw.data(), got.data(), count_);
    widen(type_, cpu_.view().raw(), expected.data(), count_);
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double g = got[i];
      const double e = expected[i];
      if (std::isnan(g) && std::isnan(e)) continue;
      const double allowed = slack * (2.01 * rounding(type_) * std::abs(e) +
                                      0x1p-21 * (1 + std::sqrt(static_cast<double>(terms))));
      worst = std::max(worst, std::isnan(g) || std::isnan(e)
                                  ? std::numeric_limits<double>::infinity()
                                  : std::abs(g - e) / allowed);
    }
    return worst;
  }

 private:
  Backends& b_;
  DType type_;
  std::int64_t count_;
  Tensor gpu_;
  Tensor cpu_;
  std::int64_t cols_;
};

struct Size {
  std::int64_t m, n, k;
};
constexpr Size kSizes[] = {{1, 1, 1}, {3, 5, 7}, {17, 1, 9}, {1, 24, 40}, {33, 31, 65}};

void check_gemm(Backends& b, DType from, DType to, const Size& z, std::int64_t gap) {
  for (const Op op_a : {Op::n, Op::t}) {
    for (const Op op_b : {Op::n, Op::t}) {
      const Twin x =
          op_a == Op::n ? Twin(b, from, z.m, z.k, gap, 1) : Twin(b, from, z.k, z.m, gap, 1);
      const Twin y =
          op_b == Op::n ? Twin(b, from, z.k, z.n, gap, 2) : Twin(b, from, z.n, z.k, gap, 2);
      const Twin bias(b, from, 1, z.n, 0, 3);
      for (const double beta : {0.0, 1.0}) {
        for (const bool with_bias : {false, true}) {
          const std::int64_t count = z.m * (z.n + gap);
          Twin c(b, to, z.m, z.n, gap,
                 beta == 0 ? std::vector<float>(static_cast<std::size_t>(count), kNan)
                           : numbers(count, 4));
          b.gpu_kernels->gemm(*b.compute, x.gpu(), op_a, y.gpu(), op_b, c.gpu(), beta,
                              with_bias ? bias.gpu_row() : View());
          b.cpu_kernels->gemm(*b.cpu_stream, x.cpu(), op_a, y.cpu(), op_b, c.cpu(), beta,
                              with_bias ? bias.cpu_row() : View());
          // A bias that is added to an old half value first rounds twice.
          const double slack = beta == 1 && with_bias && to != DType::f32 ? 2 : 1;
          BOOST_TEST(c.error(z.k, slack) <= 1,
                     name_of(from) << " to " << name_of(to) << ", " << z.m << "×" << z.n << "×"
                                   << z.k << ", gap " << gap << ", beta " << beta << ", bias "
                                   << with_bias << ": " << c.error(z.k, slack));
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
      const Twin bias(b, type, 1, std::max<std::int64_t>(z.n, 1), 0, 3);
      for (const bool with_bias : {false, true}) {
        for (const double beta : {0.0, 1.0}) {
          Twin c(b, type, z.m, z.n, 2, 5);
          const Tensor cx(*b.cpu, type, Shape{z.m, z.k});
          const Tensor cy(*b.cpu, type, Shape{z.k, z.n});
          b.gpu_kernels->gemm(*b.compute, x, Op::n, y, Op::n, c.gpu(), beta,
                              with_bias ? bias.gpu_row() : View());
          for (std::int64_t r = 0; r < z.m && z.k == 0; ++r) {
            const View row = c.cpu().slice_rows(r, 1);
            if (beta == 0) b.cpu->zero(row.raw(), row.bytes(), *b.cpu_stream);
            if (with_bias) {
              b.cpu_kernels->add(*b.cpu_stream, row, bias.cpu_row().reshape(row.shape()), row);
            }
          }
          BOOST_TEST(c.error(1) <= 1, name_of(type) << " " << z.m << "×" << z.n << "×" << z.k);
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
          const Twin x(b, type, 9, 24, gap, 1);
          const Twin weight(b, type, 40, 24, gap, 2);
          const Twin bias(b, type, 1, 40, 0, 3);
          Twin before(b, type, 9, 40, gap, 4);
          Twin y(b, type, 9, 40, gap, 5);
          b.gpu_kernels->gemm_activation(*b.compute, x.gpu(), weight.gpu(),
                                         with_bias ? bias.gpu_row() : View(), kind,
                                         before.gpu(), y.gpu());
          b.cpu_kernels->gemm_activation(*b.cpu_stream, x.cpu(), weight.cpu(),
                                         with_bias ? bias.cpu_row() : View(), kind,
                                         before.cpu(), y.cpu());
          BOOST_TEST(before.error(24) <= 1);
          // Fused, it is applied to what wasn't rounded yet: of that size is the difference.
          const double slack = 2 + rounding(type) * 0x1p20;
          BOOST_TEST(y.error(24, slack) <= 1);
        }
        const Twin dy(b, type, 9, 24, gap, 6);
        const Twin weight(b, type, 24, 40, gap, 7);
        const Twin before(b, type, 9, 40, gap, 8);
        Twin dx(b, type, 9, 40, gap, 9);
        b.gpu_kernels->gemm_activation_backward(*b.compute, dy.gpu(), weight.gpu(), kind,
                                                before.gpu(), dx.gpu());
        b.cpu_kernels->gemm_activation_backward(*b.cpu_stream, dy.cpu(), weight.cpu(), kind,
                                                before.cpu(), dx.cpu());
        BOOST_TEST(dx.error(24, 2 + rounding(type) * 0x1p20) <= 1);
      }
    }
  }
}

/// Its heuristic may find what the product itself then refuses: the parts stand in.
BOOST_AUTO_TEST_CASE(a_refused_epilogue_falls_back) {
  for (const bool autotune : {false, true}) {
    Backends b({.gemm_autotune = autotune});
    setenv("TRIREME_EMULATED_EPILOGUES_REFUSED", "1", 1);
    for (int round = 0; round < 2; ++round) {
      const Twin x(b, DType::bf16, 9, 16, 0, 1);
      const Twin w(b, DType::bf16, 24, 16, 0, 2);
      const Twin bias(b, DType::bf16, 1, 24, 0, 3);
      Twin y(b, DType::bf16, 9, 24, 0, 4);
      b.gpu_kernels->gemm(*b.compute, x.gpu(), Op::n, w.gpu(), Op::t, y.gpu(), 0,
                          bias.gpu_row());
      b.cpu_kernels->gemm(*b.cpu_stream, x.cpu(), Op::n, w.cpu(), Op::t, y.cpu(), 0,
                          bias.cpu_row());
      BOOST_TEST(y.error(16, 2) <= 1);
    }
    unsetenv("TRIREME_EMULATED_EPILOGUES_REFUSED");
  }
}

BOOST_AUTO_TEST_CASE(weight_gradients_with_the_bias_gradient) {
  Backends b;
  for (const DType type : kTypes) {
    for (const std::int64_t tokens : {1, 37}) {
      for (const std::int64_t gap : {0, 3}) {
        const Twin dy(b, type, tokens, 20, gap, 1);
        const Twin x(b, type, tokens, 12, gap, 2);
        Twin dweight(b, DType::f32, 20, 12, 0, 3);
        Twin dbias(b, DType::f32, 1, 20, 0, 4);
        for (const View& sum : {dbias.gpu_row(), View()}) {
          b.gpu_kernels->accumulate_weight_gradient(*b.compute, dy.gpu(), x.gpu(),
                                                    dweight.gpu(), sum);
        }
        for (const View& sum : {dbias.cpu_row(), View()}) {
          b.cpu_kernels->accumulate_weight_gradient(*b.cpu_stream, dy.cpu(), x.cpu(),
                                                    dweight.cpu(), sum);
        }
        BOOST_TEST(dweight.error(2 * tokens) <= 1);
        BOOST_TEST(dbias.error(tokens) <= 1);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
