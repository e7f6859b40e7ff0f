// SPDX-License-Identifier: Apache-2.0
// Arrays of more than 2^31 elements on the GPU, where no index may wrap. A few elements are
// non-zero, which makes results known. Needs a GPU with 24 GB free and TRIREME_LARGE_TESTS=1;
// the emulator takes minutes per case.
#include <cstdlib>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"
#include "trireme/ops/gemm.hpp"
#include "trireme/ops/norm.hpp"

#include "gpu.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

constexpr std::int64_t kWide = 1024;
constexpr std::int64_t kRows = (std::int64_t{1} << 21U) + 3;  // × kWide > 2^31
constexpr std::int64_t kCount = (std::int64_t{1} << 31U) + 41;
/// Indices of non-zero elements: around 2^31 elements, and around 2^31 and 2^32 bytes of bf16.
constexpr std::int64_t kPlaces[] = {
    0, (1LL << 30U) - 1, 1LL << 30U, (1LL << 31U) - 1, 1LL << 31U, (1LL << 31U) + 8, kCount - 1,
};

boost::test_tools::assertion_result asked_for(boost::unit_test::test_unit_id) {
  boost::test_tools::assertion_result asked(std::getenv("TRIREME_LARGE_TESTS") != nullptr);
  asked.message() << "TRIREME_LARGE_TESTS is not set";
  return asked;
}

/// A contiguous array of zeros, except for elements set by put().
class Sparse {
 public:
  Sparse(DType type, const Shape& shape) : array_(gpu().device, type, shape) {
    gpu().device.zero(array_.view().raw(), array_.view().bytes(), gpu().stream);
  }
  [[nodiscard]] View view() const { return array_.view(); }
  [[nodiscard]] View flat() const { return view().reshape(Shape{view().count()}); }

  void put(std::int64_t at, float value) {
    const Bf16 half(value);
    gpu().device.copy_from_host(view().data<Bf16>() + at, &half, sizeof half, gpu().stream);
    gpu().stream.synchronize();
  }
  /// Returns elements [first, first + n).
  [[nodiscard]] std::vector<float> get(std::int64_t first, std::size_t n) const {
    std::vector<Bf16> halves(n);
    gpu().device.copy_to_host(halves.data(), view().data<Bf16>() + first, n * sizeof(Bf16),
                              gpu().stream);
    gpu().stream.synchronize();
    return {halves.begin(), halves.end()};
  }

 private:
  Tensor array_;
};

double scalar(const Tensor& t) { return *on_cpu(t).data<double>(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_large, *boost::unit_test::precondition(asked_for))

BOOST_AUTO_TEST_CASE(flat_operations_reach_every_element_once) {
  Sparse x(DType::bf16, Shape{1, kCount});
  double squares = 0;
  for (std::size_t i = 0; i < std::size(kPlaces); ++i) {
    x.put(kPlaces[i], static_cast<float>(i + 1));
    squares += 4.0 * static_cast<double>((i + 1) * (i + 1));
  }
  ops::add(gpu(), x.view(), x.view(), x.view());
  for (std::size_t i = 0; i < std::size(kPlaces); ++i) {
    BOOST_TEST(x.get(kPlaces[i], 1).front() == 2 * static_cast<float>(i + 1));
  }
  const Tensor total = gpu().zeros(DType::f64, Shape{1});
  ops::accumulate_squares(gpu(), x.flat(), total);
  BOOST_TEST(scalar(total) == squares);  // all other elements are zero

  Sparse copy(DType::bf16, Shape{1, kCount});
  ops::copy(gpu(), x.view(), copy.view());
  ops::accumulate(gpu(), x.view(), copy.view());
  const Tensor again = gpu().zeros(DType::f64, Shape{1});
  ops::accumulate_squares(gpu(), copy.flat(), again);
  BOOST_TEST(scalar(again) == 4 * squares);
  BOOST_TEST(ops::first_non_finite(gpu(), copy.flat()) == -1);
  copy.put(kCount - 1, std::numeric_limits<float>::infinity());
  BOOST_TEST(ops::first_non_finite(gpu(), copy.flat()) == kCount - 1);
}

BOOST_AUTO_TEST_CASE(the_last_rows_of_a_norm_are_those_of_a_small_one) {
  Sparse x(DType::bf16, Shape{kRows, kWide});
  for (std::int64_t i = 0; i < kWide; i += 3) {
    x.put((kRows - 1) * kWide + i, static_cast<float>(i % 7) - 2.5F);
  }
  Sparse weight(DType::bf16, Shape{kWide});
  for (std::int64_t i = 0; i < kWide; ++i) weight.put(i, 1);
  const Sparse y(DType::bf16, Shape{kRows, kWide});
  const Tensor statistics = gpu().make(DType::f32, Shape{kRows, 2});
  ops::norm_forward(gpu(), {.kind = Norm::layernorm,
                            .epsilon = 1e-5,
                            .x = x.view(),
                            .weight = weight.view(),
                            .y = y.view(),
                            .statistics = statistics});
  Sparse small(DType::bf16, Shape{1, kWide});
  for (std::int64_t i = 0; i < kWide; i += 3) small.put(i, static_cast<float>(i % 7) - 2.5F);
  const Sparse expected(DType::bf16, Shape{1, kWide});
  const Tensor one = gpu().make(DType::f32, Shape{1, 2});
  ops::norm_forward(gpu(), {.kind = Norm::layernorm,
                            .epsilon = 1e-5,
                            .x = small.view(),
                            .weight = weight.view(),
                            .y = expected.view(),
                            .statistics = one});
  BOOST_TEST(y.get((kRows - 1) * kWide, kWide) == expected.get(0, kWide),
             boost::test_tools::per_element());
  BOOST_TEST(y.get((kRows - 2) * kWide, 1).front() == 0);
}

BOOST_AUTO_TEST_CASE(the_last_tokens_find_their_rows) {
  Sparse table(DType::bf16, Shape{3, kWide});
  for (std::int64_t i = 0; i < kWide; ++i) table.put(2 * kWide + i, static_cast<float>(i % 9));
  const Tensor ids = gpu().zeros(DType::i32, Shape{kRows});
  const std::int32_t last = 2;
  gpu().device.copy_from_host(ids.data<std::int32_t>() + kRows - 1, &last, sizeof last,
                              gpu().stream);
  const Sparse y(DType::bf16, Shape{kRows, kWide});
  ops::embedding_forward(gpu(),
                         {.ids = ids, .table = table.view(), .first_row = 0, .y = y.view()});
  BOOST_TEST(y.get((kRows - 1) * kWide, kWide) == table.get(2 * kWide, kWide),
             boost::test_tools::per_element());
  const Sparse gradient(DType::bf16, Shape{3, kWide});
  ops::embedding_backward(
      gpu(), {.ids = ids, .dy = y.view(), .first_row = 0, .dtable = gradient.view()});
  BOOST_TEST(gradient.get(2 * kWide, kWide) == table.get(2 * kWide, kWide),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_last_rows_of_a_product_are_right) {
  Sparse x(DType::bf16, Shape{kRows, 8});
  x.put((kRows - 1) * 8 + 5, 3);
  Sparse weight(DType::bf16, Shape{kWide, 8});
  for (std::int64_t i = 0; i < kWide; ++i) weight.put(i * 8 + 5, static_cast<float>(i % 5));
  const Sparse y(DType::bf16, Shape{kRows, kWide});
  ops::gemm_into(gpu(), {.a = x.view(), .b = weight.view(), .op_b = Op::t, .c = y.view()});
  const std::vector<float> row = y.get((kRows - 1) * kWide, kWide);
  for (std::size_t i = 0; i < row.size(); ++i) {
    BOOST_TEST(row[i] == 3 * static_cast<float>(i % 5));
  }
  BOOST_TEST(y.get((kRows - 2) * kWide + 1, 1).front() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
