// SPDX-License-Identifier: Apache-2.0
// Signs and scales: what they leave out is the error, whatever the size, and the mean over
// ranks is the published one.
#include "trireme/optim/compressed_mean.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"

#include "../support/thread_ranks.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

/// Numbers without pattern in −1 … 1.
std::vector<float> noise(std::size_t count, unsigned seed) {
  std::vector<float> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto place = static_cast<float>(i);
    all[i] = std::sin(place * 12.9898F + static_cast<float>(seed) * 78.233F) * 0.9F;
  }
  return all;
}

struct Compressed {
  std::vector<std::byte> bits;
  float scale = 0;
  std::vector<float> error;
  [[nodiscard]] std::vector<float> values() const {
    std::vector<float> all(error.size());
    expand_signs<float>(bits.data(), scale, all, false);
    return all;
  }
};

Compressed compress(const std::vector<float>& x, std::vector<float> error) {
  Compressed c;
  c.bits.resize((x.size() + 7) / 8);
  c.error = std::move(error);
  c.scale = compress_signs<float>(x, c.error, c.bits.data());
  return c;
}

double norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

const std::vector<std::int64_t> kCounts{40, 5, 0, 133};
constexpr int kTimes = 3;

/// What rank `rank` has of array `array` the time `time`.
std::vector<float> input(std::size_t array, int time, int rank) {
  return noise(static_cast<std::size_t>(kCounts[array]),
               static_cast<unsigned>(100 * array) + static_cast<unsigned>(10 * time + rank));
}

using Arrays = std::vector<std::vector<float>>;

struct Means {
  std::map<std::pair<int, int>, Arrays> arrays, workers, servers;  ///< by rank and time
  std::int64_t traffic = 0;
};

Means means_of(int ranks) {
  Means means;
  std::mutex mutex;
  const std::string trouble = as_ranks(ranks, [&](Communicator& world) {
    const auto device = make_cpu_device();
    const auto kernels = make_cpu_kernels();
    const auto stream = device->make_stream();
    const Exec ex{*device, *kernels, *stream};
    const CompressedMean mean(ex, world, kCounts, DType::f32);
    for (int time = 0; time < kTimes; ++time) {
      Arrays arrays;
      std::vector<View> views;
      for (std::size_t i = 0; i < kCounts.size(); ++i) {
        arrays.push_back(input(i, time, world.rank()));
      }
      for (auto& a : arrays) {
        views.emplace_back(a.data(), DType::f32, Shape{static_cast<std::int64_t>(a.size())});
      }
      mean.average(views);
      const std::lock_guard lock(mutex);
      const std::pair at(world.rank(), time);
      means.arrays[at] = arrays;
      for (std::size_t i = 0; i < kCounts.size(); ++i) {
        const View w = mean.worker_error(i);
        const View s = mean.server_error(i);
        means.workers[at].emplace_back(w.data<float>(), w.data<float>() + w.count());
        means.servers[at].emplace_back(s.data<float>(), s.data<float>() + s.count());
      }
      means.traffic = mean.traffic();
    }
  });
  BOOST_TEST_REQUIRE(trouble.empty(), trouble);
  return means;
}

/// The algorithm for all ranks in one process.
void compare_with_one_process(const Means& got, int ranks, std::size_t array) {
  const auto n = static_cast<std::size_t>(kCounts[array]);
  Arrays workers(static_cast<std::size_t>(ranks), std::vector<float>(n));
  std::vector<float> server(n);
  for (int time = 0; time < kTimes; ++time) {
    std::vector<float> sum(n);
    for (int rank = 0; rank < ranks; ++rank) {
      auto& error = workers[static_cast<std::size_t>(rank)];
      const Compressed c = compress(input(array, time, rank), error);
      error = c.error;
      BOOST_TEST(got.workers.at({rank, time})[array] == error);
      const float part = c.scale / static_cast<float>(ranks);
      const auto sent = c.values();
      for (std::size_t k = 0; k < n; ++k) sum[k] += sent[k] < 0 ? -part : part;
    }
    std::vector<float> expected(n);
    for (int rank = 0; rank < ranks; ++rank) {
      const Chunk chunk = chunk_of(kCounts[array], rank, ranks);
      const auto first = static_cast<std::ptrdiff_t>(chunk.first);
      const auto end = first + static_cast<std::ptrdiff_t>(chunk.count);
      const Compressed c = compress({sum.begin() + first, sum.begin() + end},
                                    {server.begin() + first, server.begin() + end});
      BOOST_TEST(got.servers.at({rank, time})[array] == c.error);
      std::ranges::copy(c.error, server.begin() + first);
      std::ranges::copy(c.values(), expected.begin() + first);
    }
    for (int rank = 0; rank < ranks; ++rank) {
      BOOST_TEST(got.arrays.at({rank, time})[array] == expected);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(compressed_mean)

BOOST_AUTO_TEST_CASE(an_error_is_what_signs_leave_out) {
  for (const std::size_t n : {1, 7, 8, 9, 63, 1000}) {
    const auto x = noise(n, 1);
    const auto before = noise(n, 2);
    const Compressed c = compress(x, before);
    const auto sent = c.values();
    std::vector<float> compensated(n);
    for (std::size_t i = 0; i < n; ++i) compensated[i] = before[i] + x[i];
    const double scale = norm(compensated) / std::sqrt(static_cast<double>(n));
    BOOST_TEST(std::abs(c.scale - scale) <= 1e-7 * scale);
    for (std::size_t i = 0; i < n; ++i) {
      BOOST_TEST(c.error[i] == compensated[i] - sent[i]);  // to the last bit
      BOOST_TEST(sent[i] == (compensated[i] < 0 ? -c.scale : c.scale));
    }
  }
}

BOOST_AUTO_TEST_CASE(zeros_and_nothing_have_no_scale) {
  const Compressed zeros = compress(std::vector<float>(13), std::vector<float>(13));
  BOOST_TEST(zeros.scale == 0.F);
  BOOST_TEST(norm(zeros.error) == 0.0);
  BOOST_TEST(norm(zeros.values()) == 0.0);
  BOOST_TEST(compress({}, {}).scale == 0.F);
}

BOOST_AUTO_TEST_CASE(errors_reach_the_mean_in_time) {
  // A constant array is sent a little wrong each time, and right on average.
  const auto x = noise(77, 3);
  std::vector<float> error(77);
  std::vector<double> sum(77);
  constexpr int kTimes = 400;
  for (int t = 0; t < kTimes; ++t) {
    const Compressed c = compress(x, error);
    error = c.error;
    const auto sent = c.values();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += sent[i];
  }
  for (std::size_t i = 0; i < sum.size(); ++i) {
    BOOST_TEST(std::abs(sum[i] / kTimes - x[i]) < 0.02);
  }
}

BOOST_AUTO_TEST_CASE(chunks_are_whole_bytes_and_cover_an_array_once) {
  for (const std::int64_t count : {0, 1, 8, 9, 100, 1024}) {
    for (const int ranks : {2, 3, 4, 7}) {
      std::int64_t at = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const Chunk c = chunk_of(count, rank, ranks);
        BOOST_TEST(c.first == at);
        BOOST_TEST((c.first % 8 == 0 || c.count == 0));
        at += c.count;
      }
      BOOST_TEST(at == count);
      BOOST_TEST(chunk_of(count, ranks) * ranks < count + 8 * ranks);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_mean_is_the_two_published_compressions) {
  for (const int ranks : {2, 3, 4}) {
    const Means got = means_of(ranks);
    // Scales of all arrays, and bits of chunks: each rank's for each, in both phases.
    std::int64_t bits = 0;
    for (const std::int64_t n : kCounts) bits += chunk_of(n, ranks) / 8;
    BOOST_TEST(got.traffic ==
               2 * ranks * (static_cast<std::int64_t>(4 * kCounts.size()) + bits));
    for (std::size_t i = 0; i < kCounts.size(); ++i) compare_with_one_process(got, ranks, i);
  }
}

BOOST_AUTO_TEST_SUITE_END()
