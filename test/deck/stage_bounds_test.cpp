// SPDX-License-Identifier: Apache-2.0
// Which units the stages of a deck's model get.
#include "trireme/deck/stage_bounds.hpp"

#include <cmath>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "examples.hpp"

namespace trireme::test {
namespace {

std::vector<int> bounds_of(const std::string& keys) {
  Deck deck = parse_deck(kLeast + keys, "x.yml");
  resolve(deck, deck.pipe_parallel_size);
  return stage_bounds(deck);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stages)

/// A layer has 12 · 64² elements, and attention over 32 keys: 319,488 operations a token. A
/// head of 1,664 rows has as many as two layers.
BOOST_AUTO_TEST_CASE(flops_weigh_attention_and_head_but_no_embedding) {
  const std::string model = "vocab_size: 1664\nno_weight_tying: true\npipe_parallel_size: 2\n";
  const std::string method = "pipe_partition_method: ";
  BOOST_TEST((bounds_of(model + method + "flops\n") == std::vector<int>{0, 4, 7}));
  BOOST_TEST((bounds_of(model + method + "parameters\n") == std::vector<int>{0, 3, 7}));
  // Three layers on each side of the middle, or two and four, of six in all.
  Deck deck = parse_deck(kLeast + model + method + "parameters\n", "x.yml");
  resolve(deck, 2);
  BOOST_TEST(std::abs(stage_imbalance(deck, "flops")) < 1e-12);
  BOOST_TEST(std::abs(stage_imbalance(deck, "parameters") - 1.0 / 3) < 1e-12);
}

BOOST_AUTO_TEST_CASE(long_sequences_of_wide_models_are_counted) {
  Deck deck = parse_deck(
      "num_layers: 126\nhidden_size: 16384\nnum_attention_heads: 128\n"
      "seq_length: 1048576\nvocab_size: 16384\nno_weight_tying: true\ntrain_iters: 1\n"
      "lr: 1e-3\ntrain_micro_batch_size_per_gpu: 1\ndata_path: data/x.h5\n"
      "pos_emb: rotary\npipe_parallel_size: 2\npipe_partition_method: flops\n",
      "x.yml");
  resolve(deck, 2);
  BOOST_TEST((stage_bounds(deck) == std::vector<int>{0, 64, 129}));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
