// SPDX-License-Identifier: Apache-2.0
// Parameters and operations of models with parts beyond GPT-NeoX's, counted by hand.
#include <map>
#include <string>

#include <boost/test/unit_test.hpp>

#include "trireme/model/transformer.hpp"

#include "tiny_model.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

std::map<std::string, Shape> shapes_of(const ModelConfig& config, UnitKind kind) {
  std::map<std::string, Shape> shapes;
  visit_unit(config, kind, [&](const Parameter& p) { shapes[p.name] = p.global_shape; });
  return shapes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(parts_have_their_parameters) {
  ModelConfig c = tiny_config();
  c.kv_channels = 6;
  c.num_kv_heads = 2;
  c.norm = Norm::rmsnorm;
  c.norm_placement = NormPlacement::both;
  c.qk_norm = QkNorm::row;
  c.use_bias_in_attn_linear = false;
  c.use_bias_in_output = true;
  const auto layer = shapes_of(c, UnitKind::layer);
  const std::map<std::string, Shape> expected{
      {"layers.0.input_layernorm.weight", Shape{16}},
      {"layers.0.attention.query_key_value.weight", Shape{48, 16}},
      {"layers.0.attention.query_key_value.bias", Shape{48}},
      {"layers.0.attention.q_norm.weight", Shape{24}},
      {"layers.0.attention.k_norm.weight", Shape{12}},
      {"layers.0.attention.dense.weight", Shape{16, 24}},
      {"layers.0.post_attention_output_norm.weight", Shape{16}},
      {"layers.0.post_attention_layernorm.weight", Shape{16}},
      {"layers.0.mlp.dense_h_to_4h.weight", Shape{24, 16}},
      {"layers.0.mlp.dense_h_to_4h.bias", Shape{24}},
      {"layers.0.mlp.dense_4h_to_h.weight", Shape{16, 24}},
      {"layers.0.mlp.dense_4h_to_h.bias", Shape{16}},
      {"layers.0.post_mlp_output_norm.weight", Shape{16}}};
  BOOST_TEST((layer == expected));
  BOOST_TEST((shapes_of(c, UnitKind::head).at("embed_out.bias") == Shape{37}));

  c.norm_placement = NormPlacement::after;
  c.qk_norm = QkNorm::head;
  const auto after = shapes_of(c, UnitKind::layer);
  BOOST_TEST(!after.contains("layers.0.input_layernorm.weight"));
  BOOST_TEST((after.at("layers.0.attention.k_norm.weight") == Shape{6}));
}

BOOST_AUTO_TEST_CASE(a_window_takes_operations_away) {
  ModelConfig c = tiny_config();
  const double whole = flops_per_token(c);
  BOOST_TEST(all_keys(c) == 16);
  c.sliding_window_width = 3;
  BOOST_TEST(all_keys(c) == 6);
  c.sliding_window_pattern = 2;  // the second layer has no window
  BOOST_TEST(all_keys(c) == 11);
  BOOST_TEST(whole - flops_per_token(c) == 12 * 16 * 5);
  c.sliding_window_pattern = 0;
  c.sliding_window_first_layer = 1;  // nor has the first one now
  BOOST_TEST(all_keys(c) == 11);
  BOOST_TEST((c.window_of(0) == 0 && c.window_of(1) == 3));
  c.sliding_window_width = 100;
  BOOST_TEST(flops_per_token(c) == whole);
}

BOOST_AUTO_TEST_CASE(encoders_have_as_many_parameters_as_published) {
  ModelConfig c;
  c.hidden_size = 768;
  c.intermediate_size = 3072;
  c.num_attention_heads = c.num_kv_heads = 12;
  c.seq_length = 512;
  c.norm_placement = NormPlacement::after_sum;
  c.embedding_norm = c.output_transform = c.use_bias_in_output = true;
  struct Published {
    std::int64_t layers, vocabulary, positions, types, parameters;
  };
  // BERT, RoBERTa and DistilBERT of the size "base", as masked language models.
  for (const Published& p :
       {Published{12, 30522, 512, 2, 109'514'298}, Published{12, 50265, 514, 1, 124'697'433},
        Published{6, 30522, 512, 0, 66'985'530}}) {
    c.num_layers = p.layers;
    c.vocab_size = p.vocabulary;
    c.max_position_embeddings = p.positions;
    c.type_vocab_size = p.types;
    BOOST_TEST(count_parameters(c) == p.parameters);
  }
  c.output_transform = false;
  const std::vector<UnitInfo> units = list_units(c);
  BOOST_TEST(units.size() == 8U);  // no norm behind the layers
  BOOST_TEST((units[6].kind == UnitKind::layer));
}
