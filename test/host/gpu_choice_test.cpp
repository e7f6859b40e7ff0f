// SPDX-License-Identifier: Apache-2.0
// What the start screen says of the GPUs that ranks took.
#include <boost/test/unit_test.hpp>

#include "trireme/host/rank_facts.hpp"

using namespace trireme;

namespace {

/// A rank for each id.
std::vector<RankFacts> ranks_with(std::initializer_list<const char*> ids, int seen,
                                  const char* model = "NVIDIA H100", const char* visible = "") {
  std::vector<RankFacts> ranks;
  for (const char* id : ids) {
    RankFacts facts;
    facts.host = "a";
    facts.device = fmt::format("cuda:{} {}", ranks.size(), model);
    facts.gpu = id;
    facts.gpus_seen = seen;
    facts.visible = visible;
    ranks.push_back(facts);
  }
  return ranks;
}

std::string line_of(const std::vector<RankFacts>& ranks) {
  const auto lines = gpu_choice(ranks);
  BOOST_REQUIRE(lines.size() == 1U);
  return lines[0];
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_gpu_for_each_rank_needs_no_words) {
  BOOST_TEST(gpu_choice(ranks_with({"x", "y"}, 2)).empty());
  BOOST_TEST(gpu_choice(ranks_with({"", ""}, 0, "cpu", "0")).empty());
}

BOOST_AUTO_TEST_CASE(ranks_that_outnumber_gpus_are_told) {
  BOOST_TEST(line_of(ranks_with({"x", "y", "x"}, 2)) ==
             "3 ranks of a share 2 GPUs, in the order of their numbers: start as many ranks as "
             "GPUs");
}

BOOST_AUTO_TEST_CASE(idle_gpus_are_told) {
  BOOST_TEST(line_of(ranks_with({"x"}, 4)) ==
             "3 of 4 GPUs of a are idle: start a rank for each");
}

BOOST_AUTO_TEST_CASE(slices_of_a_gpu_need_their_uuids) {
  const auto ranks =
      ranks_with({"x", "x"}, 1, "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "MIG-1,MIG-2");
  BOOST_TEST(line_of(ranks).find("2 ranks of a share 1 slice of a GPU (MIG)") == 0U);
  BOOST_TEST(line_of(ranks).find("CUDA_VISIBLE_DEVICES") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_order_of_the_environment_is_told) {
  BOOST_TEST(line_of(ranks_with({"y", "x"}, 2, "NVIDIA H100", "GPU-y,GPU-x")) ==
             "the ranks of a take GPUs as CUDA_VISIBLE_DEVICES lists them: GPU-y,GPU-x");
  auto own = ranks_with({"y", "x"}, 1, "NVIDIA H100", "GPU-y");
  own[1].visible = "GPU-x";
  BOOST_TEST(line_of(own) ==
             "each rank of a takes the GPU that its CUDA_VISIBLE_DEVICES names");
}

BOOST_AUTO_TEST_CASE(unlike_gpus_are_told_and_hosts_are_counted) {
  auto ranks = ranks_with({"x", "y"}, 2);
  ranks[1].device = "cuda:1 NVIDIA A100";
  BOOST_TEST(
      line_of(ranks) ==
      "GPUs are unlike, and each step waits for the slowest: 1 × NVIDIA A100, 1 × NVIDIA "
      "H100");
  auto shared = ranks_with({"x", "x"}, 1);
  for (RankFacts facts : ranks_with({"z", "z"}, 1)) {
    facts.host = "b";
    shared.push_back(facts);
  }
  BOOST_TEST(line_of(shared).ends_with("GPUs (1 more host with such a choice)"));
}
