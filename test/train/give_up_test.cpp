// SPDX-License-Identifier: Apache-2.0
// A step that a rank gives up changes nothing on any rank: trained again, the step gives the
// bits of a run that was never disturbed.
#include <atomic>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

const std::vector<std::string> kMeshes = {"dp2", "dp4", "dp2_pp2", "dp2_pp2_interleaved",
                                          "dp2_tp2_pp2_sp_interleaved"};

}  // namespace

BOOST_AUTO_TEST_SUITE(give_up)

BOOST_DATA_TEST_CASE(a_step_that_was_given_up_leaves_no_trace, bdata::make(kMeshes), name) {
  const LeverMesh& mesh = lever_mesh(name);
  for (const int stage : {0, 1, 2, 3}) {
    const Json deck = lever_deck(mesh, 4, stage % 2, {{"stage", stage}});
    const Training expected = train(deck, mesh.ranks);
    BOOST_REQUIRE(expected.steps.size() >= 3U);
    for (const std::int64_t pass : {0, 3}) {
      std::atomic<bool> done = false;
      const int victim = static_cast<int>(pass + stage) % mesh.ranks;
      const auto once = [&](int rank, std::int64_t iterations, const PassNews& news) {
        const bool now =
            rank == victim && iterations == 2 && news.training && news.pass == pass;
        return now && !done.exchange(true);
      };
      const Training got = train(deck, mesh.ranks, {.give_up = once});
      BOOST_TEST(got.given_up == 1);
      const std::string off = difference(got, expected);
      BOOST_TEST(off.empty(), "stage " << stage << " pass " << pass << ": " << off);
    }
  }
}

BOOST_AUTO_TEST_CASE(all_ranks_may_give_up) {
  const LeverMesh& mesh = lever_mesh("dp2_pp2");
  const Json deck = lever_deck(mesh, 4, 0, {{"stage", 2}});
  const Training expected = train(deck, mesh.ranks);
  std::atomic<int> asked = 0;
  const auto once = [&](int /*rank*/, std::int64_t iterations, const PassNews& news) {
    return iterations == 0 && news.training && news.pass == 0 && ++asked <= mesh.ranks;
  };
  const Training got = train(deck, mesh.ranks, {.give_up = once});
  BOOST_TEST(got.given_up == 1);
  const std::string off = difference(got, expected);
  BOOST_TEST(off.empty(), off);
}

BOOST_DATA_TEST_CASE(an_evaluation_may_be_given_up, bdata::make(kMeshes), name) {
  const LeverMesh& mesh = lever_mesh(name);
  const Json evaluates{{"eval_iters", 2}, {"eval_interval", 2}, {"train_iters", 4}};
  const Json deck = lever_deck(mesh, 4, 0, {{"stage", 3}}, evaluates);
  const Training expected = train(deck, mesh.ranks);
  BOOST_REQUIRE(expected.valid.size() == 2U);
  std::atomic<bool> done = false;
  const auto once = [&](int rank, std::int64_t, const PassNews& news) {
    return !news.training && news.pass == 1 && rank == mesh.ranks - 1 && !done.exchange(true);
  };
  const Training got = train(deck, mesh.ranks, {.give_up = once});
  BOOST_TEST(got.cut == 1);
  BOOST_REQUIRE(got.valid.size() == 1U);
  BOOST_TEST(got.valid.back() == expected.valid.back());
  const std::string off = array_difference(got, expected);
  BOOST_TEST(off.empty(), off);
}

BOOST_AUTO_TEST_SUITE_END()
