// SPDX-License-Identifier: Apache-2.0
// The table of tensors that `train --check` prints.
#include "../../src/app/check.hpp"

#include <boost/test/unit_test.hpp>

#include "trireme/core/figures.hpp"
#include "trireme/model/transformer.hpp"

using namespace trireme;

namespace {

ModelConfig config() {
  ModelConfig c;
  c.num_layers = 3;
  c.hidden_size = 64;
  c.num_attention_heads = 4;
  c.num_kv_heads = 4;
  c.intermediate_size = 256;
  c.max_position_embeddings = 32;
  c.vocab_size = 257;
  c.seq_length = 32;
  c.pos_emb = PositionEmbedding::rotary;
  return c;
}

std::string table(const ModelConfig& c) {
  std::string text;
  for (const std::string& line : tensor_table(c)) text += line + "\n";
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(parts_add_up_to_the_model) {
  for (const bool untied : {false, true}) {
    ModelConfig c = config();
    c.no_weight_tying = untied;
    const std::string text = table(c);
    const auto has = [&](const std::string& words) {
      BOOST_TEST(text.find(words) != std::string::npos, words << " is not in\n" << text);
    };
    has("tensors  " + grouped(count_parameters(c)) + " parameters");
    has("embedding: 16,448 parameters");
    has("3 layers: ");
    has("  layers.N.attention");
    has(untied ? "output layer: 16,448 parameters" : "output layer, tied to the embedding: 0");
    BOOST_TEST(text.find("layers.0.") == std::string::npos);
  }
}
