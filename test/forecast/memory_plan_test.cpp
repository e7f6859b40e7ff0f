// SPDX-License-Identifier: Apache-2.0
// What people read of a forecast: tables, what comes besides, and why stages wait.
#include "trireme/forecast/memory_plan.hpp"

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"

using namespace trireme;

namespace {

constexpr std::int64_t kGibi = std::int64_t{1} << 30U;

/// Two stages; the second does more work.
RunPlan two_stages(bool on_gpu) {
  RunPlan run;
  run.mesh = {.dp = 4, .tp = 1, .pp = 2};
  run.on_gpu = on_gpu;
  StagePlan s;
  s.parameters = 2'517'776'000;
  s.values = 5 * kGibi;
  s.gradients = 10 * kGibi;
  s.optimizer = 2 * kGibi;
  s.activations = 7 * kGibi;
  s.unused = kGibi;
  s.copy = 40 * kGibi;
  s.kept_on_host = on_gpu ? 3 * kGibi : 0;
  s.work = 0.8;
  run.stages = {s, s};
  run.stages[1].activations = 4 * kGibi;
  run.stages[1].work = 1.2;
  run.idle = 0.35;
  run.idle_if_equal = 0.2;
  return run;
}

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    BOOST_TEST(line.size() <= 110U, line);
    text += line + "\n";
  }
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(two_memories_are_never_added) {
  const RunPlan run = two_stages(true);
  const std::string table = text_of(memory_table(run, 9));
  TRM_TEST_MENTIONS(table, "of its GPU | of the host beside it");
  TRM_TEST_MENTIONS(table, "    25.00 |    40.00     3.00");
  TRM_TEST_MENTIONS(table, "2,517,776,000");
  BOOST_TEST(table.find("65.00") == std::string::npos);  // with the copy
  BOOST_TEST(table.find("68.00") == std::string::npos);
  BOOST_TEST(largest_stage(run) == 0U);
}

BOOST_AUTO_TEST_CASE(on_cpus_there_is_one_memory) {
  const std::string table = text_of(memory_table(two_stages(false), 9));
  TRM_TEST_MENTIONS(table, "all on the host");
  TRM_TEST_MENTIONS(table, "   40.00     65.00");
}

BOOST_AUTO_TEST_CASE(a_gpu_holds_more_than_arrays) {
  const Deck deck = parse_deck(
      "num_layers: 2\nhidden_size: 8\nnum_attention_heads: 1\nseq_length: 4\nlr: 1\n"
      "train_micro_batch_size_per_gpu: 2\ntrain_iters: 1\nvocab_size: 9\n",
      "x.yml");
  const Besides gpu = besides_arrays(deck, two_stages(true));
  BOOST_TEST(gpu.context > 0);
  BOOST_TEST(gpu.communication > 0);  // dp, pp
  BOOST_TEST(gpu.process == 0);
  const Besides cpu = besides_arrays(deck, two_stages(false));
  BOOST_TEST(cpu.sum() == cpu.process);
  Deck staged = deck;
  staged.communication = Deck::Communication::staged;
  BOOST_TEST(besides_arrays(staged, two_stages(true)).communication == 0);
}

BOOST_AUTO_TEST_CASE(why_stages_wait_longer) {
  RunPlan run = two_stages(false);
  TRM_TEST_MENTIONS(
      why_stages_wait({}, run),
      "equal stages would wait 20.0 %, (p − 1) / (m + p − 1); stage 1 does 1.20 of "
      "the mean work");
  run.idle = run.idle_if_equal;
  BOOST_TEST(why_stages_wait({}, run) == "");
  run.mesh.pp = 1;
  run.idle = 0.3;
  BOOST_TEST(why_stages_wait({}, run) == "");
}

BOOST_AUTO_TEST_CASE(a_run_that_does_not_fit_must_be_forced) {
  RunPlan run = two_stages(true);
  run.mesh = {.dp = 1, .tp = 1, .pp = 1};
  run.stages.resize(1);  // 25 GiB on the device, 43 GiB beside it
  const auto check = [&](std::int64_t gpu, std::int64_t host) {
    RankFacts facts;
    facts.host = "node";
    facts.gpu = run.on_gpu ? "GPU-0" : "";
    facts.capacity = gpu * kGibi;
    facts.node.available = host * kGibi;
    return check_memory(run, {facts}, 0);
  };
  BOOST_TEST(check(26, 60).trouble == "");
  // A GPU's forecast is exact; a host may be a little fuller than forecast.
  BOOST_TEST(check(24, 60).far_too_much);
  TRM_TEST_MENTIONS(check(24, 60).trouble, "need 25.0 GiB of GPU-0 of node, but 24.0 GiB");
  BOOST_TEST(!check(26, 40).far_too_much);
  TRM_TEST_MENTIONS(check(26, 40).trouble, "of the memory of node, but 40.0 GiB");
  BOOST_TEST(check(26, 30).far_too_much);
  TRM_TEST_MENTIONS(check(24, 40).trouble, "GPU-0");  // what keeps the run from starting
  run = two_stages(false);
  run.mesh = {.dp = 1, .tp = 1, .pp = 1};
  run.stages.resize(1);
  BOOST_TEST(!check(0, 60).far_too_much);
  BOOST_TEST(check(0, 50).far_too_much);
}
