// SPDX-License-Identifier: Apache-2.0
// Rank threads do what MPI's ranks do. A failing rank ends the others. The report of a deadlock
// names who waits in which call.
#include "../thread_ranks.hpp"

#include <chrono>
#include <thread>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../communicator_cases.hpp"
#include "../error_of.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

const std::vector<int> kSizes{1, 2, 3, 8};

std::string checked(const CommunicatorCase& c, int ranks, const RankOptions& options) {
  return as_ranks(ranks, c.check, options);
}

std::vector<CommunicatorCase> all_cases() {
  auto cases = collective_cases();
  for (const auto& c : asynchronous_cases()) cases.push_back(c);
  return cases;
}

}  // namespace

BOOST_DATA_TEST_CASE(what_every_communicator_does, bdata::make(all_cases()), c) {
  for (const int ranks : kSizes) {
    BOOST_TEST(checked(c, ranks, {}) == "", ranks << " ranks");
    BOOST_TEST(checked(c, ranks, {.delays = 5}) == "", ranks << " late ranks");
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_ends_all) {
  const std::string error = as_ranks(4, [](Communicator& world) {
    const auto pair = world.split(world.rank() / 2, 0);
    TRM_REQUIRE(world.rank() != 3, "rank three is ill");
    pair->barrier();
    world.barrier();
  });
  BOOST_TEST(error == "rank 3: rank three is ill");
}

BOOST_AUTO_TEST_CASE(an_error_of_all_ranks_is_the_first_ones) {
  const std::string error = as_ranks(3, [](Communicator& world) {
    world.agree(world.rank() == 1 ? std::optional(Error("disk full")) : std::nullopt);
  });
  BOOST_TEST(error == "rank 0: disk full");
}

BOOST_AUTO_TEST_CASE(a_deadlock_says_who_waits_for_what) {
  const std::string error = as_ranks(3, [](Communicator& world) {
    float x = 0;
    const View view(&x, DType::f32, Shape{1});
    if (world.rank() == 0) world.start_receive(view, 1, 7)->wait();
    if (world.rank() == 1) world.barrier();
  });
  TRM_TEST_MENTIONS(error, "deadlock: rank 0 waits in a message with tag 7 from 1 to 0 of 3");
  TRM_TEST_MENTIONS(error, "rank 1 waits in barrier of 3 ranks, rank 2 has ended");
}

BOOST_AUTO_TEST_CASE(patience_ends) {
  const std::string error =
      as_ranks(2,
               [](Communicator& world) {
                 if (world.rank() == 1) {
                   std::this_thread::sleep_for(std::chrono::milliseconds(300));
                 }
                 world.barrier();
               },
               {.patience = 0.05});
  TRM_TEST_MENTIONS(error, "no end after 0.05 s: rank 0 waits in barrier of 2 ranks, rank 1");
}

BOOST_AUTO_TEST_CASE(ranks_in_different_calls_are_an_error) {
  const std::string error = as_ranks(2, [](Communicator& world) {
    float x = 0;
    const View view(&x, DType::f32, Shape{1});
    world.rank() == 0 ? world.barrier() : world.all_reduce(view, Reduction::sum);
  });
  TRM_TEST_MENTIONS(error, "at once");
}

BOOST_AUTO_TEST_CASE(ranks_with_different_counts_are_an_error) {
  const std::string error = as_ranks(2, [](Communicator& world) {
    std::vector<float> x(3);
    world.all_reduce(View(x.data(), DType::f32, Shape{2 + world.rank()}), Reduction::sum);
  });
  TRM_TEST_MENTIONS(error, "all_reduce of 2 fp32 and of 3 fp32");
}

BOOST_AUTO_TEST_CASE(a_request_that_is_given_up_is_an_error) {
  const std::string error = as_ranks(2, [](Communicator& world) {
    float x = 0;
    float both[2] = {0, 0};
    if (world.rank() == 0) {
      (void)world.start_all_gather(ConstView(&x, DType::f32, Shape{1}),
                                   View(both, DType::f32, Shape{2}));
    }
  });
  TRM_TEST_MENTIONS(error, "rank 0 gave up all_gather of 2 ranks");
}
