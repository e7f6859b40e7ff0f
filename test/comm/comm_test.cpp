// SPDX-License-Identifier: Apache-2.0
// MPI's communicator at the size that mpirun gives, the communicator of one rank, and the mesh.
#include <cmath>
#include <cstdlib>
#include <set>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/launcher.hpp"
#include "trireme/comm/mesh.hpp"
#include "trireme/comm/mpi.hpp"

#include "../support/communicator_cases.hpp"
#include "../support/thread_ranks.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// The test program's main starts MPI; this function only wraps the world.
Communicator& world() {
  static const auto comm = world_communicator();
  return *comm;
}

View view(std::vector<float>& v) {
  return {v.data(), DType::f32, Shape{static_cast<std::int64_t>(v.size())}};
}

/// Numbers of many magnitudes, so that the order of a sum shows in its bits.
std::vector<float> numbers(int rank, std::size_t count) {
  std::vector<float> x;
  std::uint64_t state = 88172645463325252ULL + static_cast<std::uint64_t>(rank);
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const float mantissa = static_cast<float>(state >> 40U) * 0x1p-24F - 0.5F;
    x.push_back(std::ldexp(mantissa, static_cast<int>(state >> 32U & 15U) - 8));
  }
  return x;
}

}  // namespace

BOOST_AUTO_TEST_CASE(size_is_the_launchers) {
  const LaunchedProcesses launched = launched_processes(std::getenv);
  BOOST_REQUIRE(launched.count > 0);  // so that this program fails outside mpirun
  BOOST_TEST(world().size() == launched.count);
}

BOOST_DATA_TEST_CASE(collectives, bdata::make(collective_cases()), c) {
  BOOST_TEST(error_of_case(c, world()) == "");
}

BOOST_DATA_TEST_CASE(asynchronous_collectives, bdata::make(asynchronous_cases()), c) {
  BOOST_TEST(error_of_case(c, world()) == "");
}

BOOST_DATA_TEST_CASE(asynchronous_collectives_of_one, bdata::make(asynchronous_cases()), c) {
  if (!c.alone) return;
  const auto self = make_self_communicator();
  BOOST_TEST(error_of_case(c, *self) == "");
}

/// Short arrays, such as norms and losses: MPI adds long arrays in an order of its own.
BOOST_AUTO_TEST_CASE(rank_threads_sum_to_the_same_bits) {
  for (const std::size_t count : {1, 3, 40, 250}) {
    std::vector<float> mine = numbers(world().rank(), count);
    world().all_reduce(view(mine), Reduction::sum);
    std::vector<float> threads;
    const std::string error = as_ranks(world().size(), [&](Communicator& ranks) {
      std::vector<float> x = numbers(ranks.rank(), count);
      ranks.all_reduce(view(x), Reduction::sum);
      if (ranks.rank() == 0) threads = x;
    });
    BOOST_TEST(error == "");
    BOOST_TEST(mine == threads, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(rank_order_is_tensor_then_data_then_pipeline) {
  const MeshShape shape{.dp = 3, .tp = 2, .pp = 4};
  BOOST_TEST(rank_of(shape, {.dp = 1, .tp = 0, .pp = 0}) == 2);
  BOOST_TEST(rank_of(shape, {.dp = 0, .tp = 1, .pp = 0}) == 1);
  BOOST_TEST(rank_of(shape, {.dp = 0, .tp = 0, .pp = 1}) == 6);
  std::set<int> seen;
  for (int r = 0; r < shape.size(); ++r) seen.insert(rank_of(shape, index_of(shape, r)));
  BOOST_TEST(static_cast<int>(seen.size()) == shape.size());
}

BOOST_AUTO_TEST_CASE(a_group_of_one) {
  const auto self = make_self_communicator();
  std::vector<float> x{3};
  std::vector<float> y{0};
  self->all_reduce(view(x), Reduction::sum);
  self->all_gather(view(x), view(y));
  BOOST_TEST(y[0] == 3);
  BOOST_CHECK_THROW((void)self->start_send(view(x), 1, 0), Error);
}
