// SPDX-License-Identifier: Apache-2.0
// GEMMs of few rows, the steps of generation: every number of rows against plain sums, and the
// bits of a row beside other rows.
#include <array>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/ops/gemm.hpp"

#include "half.hpp"

namespace trireme::test {
namespace {

namespace bdata = boost::unit_test::data;

constexpr std::array kTypes = {DType::f64, DType::f32, DType::bf16, DType::f16};
constexpr std::int64_t kMostRows = 17;  // one more than the kernel for few rows takes

struct Size {
  std::int64_t n, k;
};
/// Columns around blocks of 48 and of 3 or 4, depths around vectors, lines and parts.
constexpr std::array<Size, 8> kSizes = {
    {{1, 1}, {7, 9}, {48, 64}, {50, 77}, {97, 511}, {5, 1000}, {53, 2051}, {4, 5003}}};

/// c = alpha a bᵀ + beta c + bias for windows that lie within wider arrays.
View product(const View& a, const View& b, const Tensor& bias, const View& c, double beta) {
  ops::gemm_into(
      cpu(),
      {.a = a, .b = b, .op_b = Op::t, .c = c, .alpha = 0.75, .beta = beta, .bias = bias});
  return c;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(few_rows)

BOOST_DATA_TEST_CASE(equal_plain_sums, bdata::xrange(kSizes.size()), number) {
  const Size size = kSizes[number];
  for (const DType type : kTypes) {
    for (std::int64_t m = 1; m <= kMostRows; ++m) {
      const View a = Windows::random(type, m, size.k, "a");
      const View b = Windows::random(type, size.n, size.k, "b");
      const Tensor bias = random(type, Shape{size.n}, "bias");
      const double beta = m % 3 == 0 ? 0.5 : 0;
      const View c = beta == 0 ? Windows::poisoned(type, m, size.n)
                               : Windows::random(type, m, size.n, "c");
      Host expected = 0.75 * host(a) * host(b).transpose();
      if (beta != 0) expected += beta * host(c);
      expected.rowwise() += host(bias).row(0);
      product(a, b, bias, c, beta);
      BOOST_TEST_CONTEXT(name_of(type) << " " << m << " rows, size " << number) {
        BOOST_TEST(relative_error(c, expected) < (type == DType::f64 ? 1e-13 : rounding(type)));
        BOOST_TEST(Windows::untouched());
      }
    }
  }
}

/// Generation promises the same text in every batch.
BOOST_DATA_TEST_CASE(a_row_has_equal_bits_beside_any_others, bdata::xrange(kTypes.size()),
                     number) {
  constexpr std::int64_t kAll = 16;
  const DType type = kTypes[number];
  for (const Size& size : kSizes) {
    const Tensor a = random(type, Shape{kAll, size.k}, "a");
    const Tensor b = random(type, Shape{size.n, size.k}, "b");
    const Tensor bias = random(type, Shape{size.n}, "bias");
    const Tensor alone = cpu().make(type, Shape{kAll, size.n});
    for (std::int64_t r = 0; r < kAll; ++r) {
      product(a.view().slice_rows(r, 1), b, bias, alone.view().slice_rows(r, 1), 0);
    }
    for (std::int64_t m = 2; m <= kAll; ++m) {
      const View rows = a.view().slice_rows(kAll - m, m);
      const Tensor c = cpu().make(type, Shape{m, size.n});
      BOOST_TEST(same_on_any_threads([&] {
        product(rows, b, bias, c, 0);
        return c;
      }));
      const Host expected = host(alone.view().slice_rows(kAll - m, m));
      BOOST_TEST((host(c).array() == expected.array()).all(),
                 name_of(type) << " " << m << " rows, " << size.n << " by " << size.k);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace trireme::test
