// SPDX-License-Identifier: Apache-2.0
// What the start screen says of processors that are too few or shared.
#include "trireme/host/rank_facts.hpp"

#include <boost/test/unit_test.hpp>

using namespace trireme;

namespace {

std::vector<RankFacts> ranks_of(int count, int threads, int processors, const char* host) {
  RankFacts facts;
  facts.host = host;
  facts.threads = threads;
  facts.processors = processors;
  return std::vector<RankFacts>(static_cast<std::size_t>(count), facts);
}

}  // namespace

BOOST_AUTO_TEST_CASE(processors_of_ones_own_need_no_words) {
  BOOST_TEST(crowding(ranks_of(4, 2, 8, "a"), 0.95).empty());
  auto on_gpus = ranks_of(4, 2, 1, "a");
  for (RankFacts& facts : on_gpus) facts.gpu = "GPU-1";
  BOOST_TEST(crowding(on_gpus, 0.1).empty());
}

BOOST_AUTO_TEST_CASE(threads_that_outnumber_processors_are_told) {
  auto ranks = ranks_of(4, 2, 4, "a");
  BOOST_TEST(crowding(ranks, 0.5) ==
                 (std::vector<std::string>{
                     "8 threads of 4 ranks share 4 processors of a: they wait for each other"}),
             boost::test_tools::per_element());
  for (const RankFacts& facts : ranks_of(2, 1, 1, "b")) ranks.push_back(facts);
  BOOST_TEST(crowding(ranks, 1).back().ends_with("(1 more hosts alike)"));
}

BOOST_AUTO_TEST_CASE(other_jobs_are_told) {
  const auto lines = crowding(ranks_of(1, 2, 4, "a"), 0.6);
  BOOST_REQUIRE(lines.size() == 1U);
  BOOST_TEST(lines[0].find("other jobs") == 0U);
  BOOST_TEST(lines[0].find("60 %") != std::string::npos);
}
