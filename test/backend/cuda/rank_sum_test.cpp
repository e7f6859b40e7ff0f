// SPDX-License-Identifier: Apache-2.0
// Compares sums over ranks on the GPU, for any number of ranks, with sums in rank order.
#include "../../../src/backend/cuda/comm/rank_sum.hpp"

#include <vector>

#include <boost/test/unit_test.hpp>

#include "../../../src/backend/cuda/runtime/stream.hpp"
#include "gpu.hpp"

namespace {

using namespace trireme;

constexpr std::int64_t kCounts[] = {2, 37, 1024};
constexpr int kRanks[] = {1, 3, 481, 1100};

/// Sums the other ranks' blocks and rank `own`'s block. If `own` is `ranks`, there is no own
/// block.
template <class T>
void sums(DType type, int ranks, int own, std::int64_t n) {
  const auto all = static_cast<std::int64_t>(ranks) * n;
  const Tensor cpu_blocks(test::cpu().device, type, Shape{all});
  const Tensor cpu_mine(test::cpu().device, type, Shape{n});
  const auto value = [](std::int64_t i) {
    return static_cast<T>(static_cast<double>((i * 7919) % 1009 - 500) / 97);
  };
  auto* const blocks = static_cast<T*>(cpu_blocks.view().raw());
  auto* const mine = static_cast<T*>(cpu_mine.view().raw());
  for (std::int64_t i = 0; i < all; ++i) blocks[i] = value(i);
  for (std::int64_t i = 0; i < n; ++i) mine[i] = value(i + 13);

  std::vector<T> expected(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    T sum = 0;
    std::int64_t place = 0;
    for (int r = 0; r < ranks; ++r) {
      const T x = r == own ? mine[i] : blocks[place++ * n + i];
      sum = r == 0 ? x : sum + x;
    }
    expected[static_cast<std::size_t>(i)] = sum;
  }

  const Tensor gpu_blocks = test::on_gpu(cpu_blocks);
  const Tensor gpu_mine = test::on_gpu(cpu_mine);
  const cuda::RankAddends addends{ranks, own, own < ranks ? gpu_mine.view().raw() : nullptr,
                                  static_cast<const std::byte*>(gpu_blocks.view().raw()),
                                  static_cast<std::size_t>(n) * sizeof(T)};
  cuda::sum_in_rank_order(cuda::native(test::gpu().stream), addends, type, gpu_mine.view(),
                          false);
  const Tensor got = test::on_cpu(gpu_mine);
  const auto* const values = static_cast<const T*>(got.view().raw());
  BOOST_TEST(std::equal(expected.begin(), expected.end(), values),
             name_of(type) << ", " << ranks << " ranks, own " << own << ", " << n);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rank_sum)

BOOST_AUTO_TEST_CASE(of_any_number_of_ranks) {
  for (const std::int64_t n : kCounts) {
    for (const int ranks : kRanks) {
      for (const int own : {0, ranks / 2, ranks - 1, ranks}) {
        sums<double>(DType::f64, ranks, own, n);
        sums<float>(DType::f32, ranks, own, n);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
