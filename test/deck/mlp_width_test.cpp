// SPDX-License-Identifier: Apache-2.0
// Widths of the MLP by GPT-NeoX's rule, and the parameter counts of published shapes.
#include <boost/test/unit_test.hpp>

#include "trireme/model/transformer.hpp"

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

ModelConfig model(const std::string& more) { return parse_deck(kLeast + more, "x.yml").model; }

std::int64_t gated_width(const std::string& more) {
  return model("activation: swiglu\n" + more).mlp_inner();
}

/// A Llama: RMSNorm without biases anywhere, a vocabulary of 32,000 and untied matrices.
std::int64_t llama(int layers, int hidden, int heads, int kv_heads, int width, int multiple) {
  const Deck deck = parse_deck(
      fmt::format("num_layers: {}\nhidden_size: {}\nnum_attention_heads: {}\n"
                  "num_kv_heads: {}\nintermediate_size: {}\nmlp_multiple_of: {}\n"
                  "seq_length: 2048\nvocab_size: 32000\npos_emb: rotary\nnorm: rmsnorm\n"
                  "activation: swiglu\nno_weight_tying: true\nuse_bias_in_mlp: false\n"
                  "use_bias_in_attn_linear: false\ntrain_iters: 1\nlr: 1\nbatch_size: 1\n",
                  layers, hidden, heads, kv_heads, width, multiple),
      "llama.yml");
  return count_parameters(deck.model);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_mlp_width)

BOOST_AUTO_TEST_CASE(a_gated_mlp_has_two_thirds) {
  BOOST_CHECK_EQUAL(gated_width(""), 85);                           // 256 → 170
  BOOST_CHECK_EQUAL(gated_width("intermediate_size: 300\n"), 100);  // I = 3n gives n
  BOOST_CHECK_EQUAL(gated_width("intermediate_size: 303\n"), 101);
  BOOST_CHECK_EQUAL(gated_width("intermediate_size: 340\nmlp_multiple_of: 32\n"), 128);
  BOOST_CHECK_EQUAL(gated_width("expansion_factor: 3\n"), 64);  // 192 → 128
  BOOST_CHECK_EQUAL(gated_width("expansion_factor: 2.7\nmlp_multiple_of: 8\n"), 64);
  for (const char* name : {"geglu", "reglu"}) {
    BOOST_CHECK_EQUAL(model(fmt::format("activation: {}\n", name)).mlp_inner(), 85);
  }
  BOOST_CHECK(parse_deck(kLeast + "activation: swiglu\n", "x.yml").warnings.empty());
  const Deck odd = parse_deck(kLeast + "activation: swiglu\nintermediate_size: 2048\n", "x");
  BOOST_CHECK_EQUAL(odd.model.mlp_inner(), 682);  // F = 1365
  BOOST_REQUIRE_EQUAL(odd.warnings.size(), 1U);
  CHECK_CONTAINS(odd.warnings[0], "intermediate_size: 2046 says so");
}

BOOST_AUTO_TEST_CASE(a_plain_mlp_has_what_the_deck_says) {
  BOOST_CHECK_EQUAL(model("").mlp_inner(), 256);
  BOOST_CHECK_EQUAL(model("intermediate_size: 200\n").mlp_inner(), 200);
  BOOST_CHECK_EQUAL(model("intermediate_size: 201\nmlp_multiple_of: 50\n").mlp_inner(), 250);
  BOOST_CHECK_EQUAL(model("expansion_factor: 2.71\n").mlp_inner(), 173);
}

BOOST_AUTO_TEST_CASE(a_written_width_reads_back) {
  for (const char* more : {"", "mlp_multiple_of: 7\n", "intermediate_size: 500\n"}) {
    const Deck d = parse_deck(kLeast + "activation: swiglu\n" + more, "x.yml");
    BOOST_CHECK(parse_deck(to_yaml(d), "y.yml") == d);
  }
}

BOOST_AUTO_TEST_CASE(decks_of_older_checkpoints_keep_their_widths) {
  const auto old = [](const std::string& more) {
    return parse_deck_with_whole_widths(kLeast + more, "x.yml").model.mlp_inner();
  };
  BOOST_CHECK_EQUAL(old("activation: swiglu\nintermediate_size: 256\n"), 128);
  BOOST_CHECK_EQUAL(old("activation: geglu\nintermediate_size: 2\n"), 1);
  BOOST_CHECK_EQUAL(old("activation: gelu\nintermediate_size: 200\n"), 200);
}

BOOST_AUTO_TEST_CASE(llamas_have_their_published_parameters) {
  // Touvron et al., arXiv 2302.13971 and 2307.09288: counts of the published weights.
  BOOST_CHECK_EQUAL(llama(32, 4096, 32, 32, 32768, 256), 6'738'415'616);
  BOOST_CHECK_EQUAL(llama(32, 4096, 32, 32, 3 * 11008, 1), 6'738'415'616);
  BOOST_CHECK_EQUAL(llama(40, 5120, 40, 40, 3 * 13824, 1), 13'015'864'320);
  BOOST_CHECK_EQUAL(llama(60, 6656, 52, 52, 3 * 17920, 1), 32'528'943'616);
  BOOST_CHECK_EQUAL(llama(80, 8192, 64, 64, 3 * 22016, 1), 65'285'660'672);
  BOOST_CHECK_EQUAL(llama(80, 8192, 64, 8, 3 * 28672, 1), 68'976'648'192);
}

BOOST_AUTO_TEST_SUITE_END()
