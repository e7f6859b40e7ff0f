// SPDX-License-Identifier: Apache-2.0
// What the start screen says of cores that are too few, idle, slow or shared.
#include "trireme/host/rank_facts.hpp"

#include <boost/test/unit_test.hpp>

using namespace trireme;

namespace {

std::vector<RankFacts> ranks_of(int count, int threads, int cores, const char* host,
                                int own_cores = 0) {
  RankFacts facts;
  facts.host = host;
  facts.threads = threads;
  facts.cores = cores;
  facts.own_cores = own_cores > 0 ? own_cores : cores;
  facts.node.cores = cores;
  return std::vector<RankFacts>(static_cast<std::size_t>(count), facts);
}

std::string line_of(const std::vector<RankFacts>& ranks, bool bound = false) {
  const auto lines = crowding(ranks, 1, bound);
  BOOST_REQUIRE(lines.size() == 1U);
  return lines[0];
}

}  // namespace

BOOST_AUTO_TEST_CASE(cores_of_ones_own_need_no_words) {
  BOOST_TEST(crowding(ranks_of(4, 2, 8, "a"), 0.95, true).empty());
  auto on_gpus = ranks_of(4, 2, 1, "a");
  for (RankFacts& facts : on_gpus) facts.gpu = "GPU-1";
  BOOST_TEST(crowding(on_gpus, 0.1, true).empty());
}

BOOST_AUTO_TEST_CASE(threads_that_outnumber_cores_are_told) {
  auto ranks = ranks_of(4, 2, 4, "a");
  BOOST_TEST(crowding(ranks, 0.5, false) ==
                 (std::vector<std::string>{
                     "8 threads of 4 ranks share 4 cores of a: they wait for each other"}),
             boost::test_tools::per_element());
  for (const RankFacts& facts : ranks_of(2, 1, 1, "b")) ranks.push_back(facts);
  BOOST_TEST(crowding(ranks, 1, false).back().ends_with("(1 more host alike)"));
}

BOOST_AUTO_TEST_CASE(hosts_are_counted_with_those_of_their_kind) {
  auto ranks = ranks_of(4, 2, 4, "a");
  for (const char* host : {"b", "c"}) {
    for (const RankFacts& facts : ranks_of(2, 1, 1, host)) ranks.push_back(facts);
  }
  ranks.push_back(ranks_of(1, 1, 1, "d")[0]);
  ranks.back().slow = "processor 1 runs at its lowest frequency";
  const auto lines = crowding(ranks, 1, false);
  BOOST_REQUIRE(lines.size() == 2U);
  BOOST_TEST(lines[0].ends_with("of a: they wait for each other (2 more hosts alike)"));
  BOOST_TEST(lines[1] == "d: processor 1 runs at its lowest frequency");
}

BOOST_AUTO_TEST_CASE(cores_that_a_job_may_not_use_are_told_with_the_remedy) {
  auto ranks = ranks_of(1, 2, 1, "a");
  ranks[0].node.cores = 16;
  BOOST_TEST(line_of(ranks) ==
             "2 threads of 1 rank share 1 core of a: they wait for each other; 15 of the host "
             "are idle: " +
                 how_to_unbind(2));
  // One thread on its core: only a launcher's own choice is worth a word.
  ranks[0].threads = 1;
  BOOST_TEST(crowding(ranks, 1, false).empty());
  BOOST_TEST(line_of(ranks, true) ==
             "mpirun lets 1 rank use 1 of 16 cores on a; for more threads " +
                 how_to_unbind(16));
}

BOOST_AUTO_TEST_CASE(a_rank_with_too_few_of_the_jobs_cores_is_told) {
  auto ranks = ranks_of(1, 1, 4, "a", 3);
  ranks.push_back(ranks_of(1, 2, 4, "a", 1)[0]);
  BOOST_TEST(line_of(ranks) == "2 threads of rank 1 share 1 core of a: " + how_to_unbind(2));
}

BOOST_AUTO_TEST_CASE(a_slow_setting_is_told) {
  auto ranks = ranks_of(2, 1, 2, "a");
  ranks[1].slow = "processor 1 runs at its lowest frequency";
  BOOST_TEST(line_of(ranks) == "a: processor 1 runs at its lowest frequency");
}

BOOST_AUTO_TEST_CASE(other_jobs_are_told) {
  const auto lines = crowding(ranks_of(1, 2, 4, "a"), 0.6, false);
  BOOST_REQUIRE(lines.size() == 1U);
  BOOST_TEST(lines[0].find("other jobs") == 0U);
  BOOST_TEST(lines[0].find("60 %") != std::string::npos);
}
