// SPDX-License-Identifier: Apache-2.0
// Arrays of several ranks beside rank 0's reference.
#include "../../src/verify/compare.hpp"

#include <cmath>
#include <limits>
#include <mutex>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"

#include "../support/thread_ranks.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN();

/// Each rank's boxes of each array.
using Boxes = std::vector<std::vector<std::vector<LocalBox>>>;

std::vector<Finding> compare(const std::vector<HostArray>& reference, const Boxes& boxes,
                             const UpdateSlack* slack = nullptr) {
  std::vector<Finding> found;
  std::mutex mutex;
  const auto problem = as_ranks(static_cast<int>(boxes.size()), [&](Communicator& world) {
    const auto device = make_cpu_device();
    const auto stream = device->make_stream();
    const auto kernels = make_cpu_kernels();
    const Exec ex{*device, *kernels, *stream, 0};
    std::vector<ComparedArray> arrays;
    for (std::size_t i = 0; i < reference.size(); ++i) {
      arrays.push_back({reference[i].shape, boxes[static_cast<std::size_t>(world.rank())][i],
                        world.rank() == 0 ? &reference[i] : nullptr});
    }
    auto mine = compare_arrays(ex, world, arrays, slack);
    const std::scoped_lock lock(mutex);
    found = std::move(mine);
  });
  BOOST_REQUIRE_MESSAGE(problem.empty(), problem);
  return found;
}

LocalBox box(const Shape& offset, const Shape& extent, std::vector<float> values) {
  return {Box(offset, extent), std::move(values), {}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(compare_arrays_of_ranks)

BOOST_AUTO_TEST_CASE(the_largest_difference_of_all_ranks_and_its_place) {
  const HostArray whole{Shape{2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}};
  const auto left = box(Shape{0, 0}, Shape{2, 2}, {1, 2, 5, 6.5});
  const auto right = box(Shape{0, 2}, Shape{2, 2}, {3, 4, 7, 10});
  const auto found = compare({whole}, {{{left}}, {{right}}});
  BOOST_REQUIRE(found.size() == 1U);
  BOOST_TEST(found[0].difference == 0.25);  // 2 of 8
  BOOST_TEST(found[0].rank == 1);
  BOOST_TEST((found[0].at == Shape{1, 3}));
  BOOST_TEST((found[0].box == right.box));
  BOOST_TEST(found[0].got == 10);
  BOOST_TEST(found[0].expected == 8);
}

BOOST_AUTO_TEST_CASE(a_replica_that_differs_is_found) {
  const HostArray whole{Shape{3}, {1, 2, 4}};
  const auto same = box(Shape{0}, Shape{3}, {1, 2, 4});
  const auto other = box(Shape{1}, Shape{2}, {2, 3});
  BOOST_TEST(compare({whole}, {{{same}}, {{same}}})[0].difference == 0);
  const auto found = compare({whole}, {{{same}}, {{same}}, {{other}}});
  BOOST_TEST(found[0].difference == 0.25);
  BOOST_TEST(found[0].rank == 2);
  BOOST_TEST((found[0].at == Shape{2}));
}

BOOST_AUTO_TEST_CASE(a_tensor_of_zeros_is_held_against_its_kind) {
  const HostArray large{Shape{1}, {1000}};
  const HostArray zero{Shape{1}, {0}};
  const auto found = compare(
      {large, zero}, {{{box(Shape{0}, Shape{1}, {1000})}, {box(Shape{0}, Shape{1}, {1e-5F})}}});
  BOOST_TEST(found[0].difference == 0);
  BOOST_TEST(std::abs(found[1].difference - 1e-2) < 1e-6);  // 1e-5 of a millionth of 1000
}

BOOST_AUTO_TEST_CASE(what_is_no_number_differs_from_numbers_alone) {
  const HostArray bad{Shape{2}, {1, kNan}};
  BOOST_TEST(compare({bad}, {{{box(Shape{0}, Shape{2}, {1, kNan})}}})[0].difference == 0);
  const HostArray good{Shape{2}, {1, 2}};
  const auto found = compare({good}, {{{box(Shape{0}, Shape{2}, {1, kNan})}}});
  BOOST_TEST(std::isinf(found[0].difference));
  BOOST_TEST((found[0].at == Shape{1}));
}

BOOST_AUTO_TEST_CASE(rounding_of_gradients_excuses_what_it_can_cause_alone) {
  const HostArray values{Shape{3}, {1, 1, 1}};
  const HostArray gradients{Shape{3}, {1, 1e-6F, 1e-6F}};
  // An element of nearly no gradient may move the other way, and no further.
  const UpdateSlack slack{OptimizerKind::adamw, {{0.1, 1, 1e-3, {&gradients}}}};
  const auto mine = box(Shape{0}, Shape{3}, {1.01F, 1.2F, 1.25F});
  const auto found = compare({values}, {{{mine}}}, &slack);
  BOOST_TEST((found[0].at == Shape{2}));
  BOOST_TEST(std::abs(found[0].difference - 0.05) < 1e-6);
  const auto large =
      compare({values}, {{{box(Shape{0}, Shape{3}, {1.01F, 1.2F, 1.2F})}}}, &slack);
  BOOST_TEST((large[0].at == Shape{0}));
  BOOST_TEST(std::abs(large[0].difference - (0.01 - 2e-4)) < 1e-6);
}

BOOST_AUTO_TEST_CASE(slack_of_sgd_grows_with_momentum) {
  const PastUpdate update{0.5, 2, 1e-3, {}};
  BOOST_TEST(update_slack(OptimizerKind::sgd, update, 7, 10, 0) == 0.01);
  BOOST_TEST(update_slack(OptimizerKind::sgd, update, 7, 10, 1) == 0.02);
}

BOOST_AUTO_TEST_SUITE_END()
