// SPDX-License-Identifier: Apache-2.0
// Every parameter's gradient of whole models against finite differences in fp64: one model per
// option of the deck, sharded over the ranks. Dropout is equal for any sharding.
#include <cmath>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

#include "tiny_model.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

struct Option {
  const char* name;
  void (*apply)(ModelConfig&);
};

void use_dropout(ModelConfig& c) {
  c.hidden_dropout = 0.2;
  c.attention_dropout = 0.3;
}

void no_biases(ModelConfig& c) {
  c.use_bias_in_norms = false;
  c.use_bias_in_attn_linear = false;
  c.use_bias_in_qkv = false;
  c.use_bias_in_mlp = false;
}

const Option kOptions[] = {
    {"sequential residual", [](ModelConfig&) {}},
    {"learned positions, tied output",
     [](ModelConfig& c) {
       c.pos_emb = PositionEmbedding::learned;
       c.max_position_embeddings = 11;
       c.no_weight_tying = false;
     }},
    {"no positions", [](ModelConfig& c) { c.pos_emb = PositionEmbedding::none; }},
    {"rotary of whole heads", [](ModelConfig& c) { c.rotary_pct = 1; }},
    {"gpt_j_residual", [](ModelConfig& c) { c.gpt_j_residual = true; }},
    {"gpt_j_tied",
     [](ModelConfig& c) {
       c.gpt_j_residual = true;
       c.gpt_j_tied = true;
     }},
    {"gelu_tanh", [](ModelConfig& c) { c.activation = Activation::gelu_tanh; }},
    {"relu", [](ModelConfig& c) { c.activation = Activation::relu; }},
    {"silu", [](ModelConfig& c) { c.activation = Activation::silu; }},
    {"geglu", [](ModelConfig& c) { c.activation = Activation::geglu; }},
    {"reglu", [](ModelConfig& c) { c.activation = Activation::reglu; }},
    {"swiglu, RMSNorm, grouped queries",
     [](ModelConfig& c) {
       c.activation = Activation::swiglu;
       c.norm = Norm::rmsnorm;
       c.num_kv_heads = 2;
     }},
    {"no biases", no_biases},
    {"wide heads, bias of q, k and v alone",
     [](ModelConfig& c) {
       c.kv_channels = 6;
       c.rotary_pct = 1;
       c.num_kv_heads = 2;
       c.use_bias_in_attn_linear = false;
     }},
    {"bias of the output, capped logits, scaled embedding",
     [](ModelConfig& c) {
       c.use_bias_in_output = true;
       c.output_logit_softcap = 2;
       c.embedding_scale = 3;
     }},
    {"window, capped scores, scale",
     [](ModelConfig& c) {
       c.sliding_window_width = 3;
       c.sliding_window_pattern = 2;
       c.rotary_emb_local_base = 100;
       c.attention_logit_softcap = 1.5;
       c.attention_scale = 0.9;
     }},
    {"ALiBi", [](ModelConfig& c) { c.pos_emb = PositionEmbedding::alibi; }},
    {"yarn",
     [](ModelConfig& c) {
       c.rotary_pct = 1;
       c.rope_scaling.type = RopeScaling::Type::yarn;
       c.rope_scaling.factor = 4;
       c.rope_scaling.original_max_position_embeddings = 4;
     }},
    {"norms of q and k",
     [](ModelConfig& c) {
       c.qk_norm = QkNorm::head;
       c.num_kv_heads = 2;
     }},
    {"norms of q and k by row, norms after",
     [](ModelConfig& c) {
       c.norm = Norm::rmsnorm;
       c.qk_norm = QkNorm::row;
       c.norm_placement = NormPlacement::after;
     }},
    {"norms before and after, weights from one, dropout",
     [](ModelConfig& c) {
       use_dropout(c);
       c.norm = Norm::rmsnorm;
       c.qk_norm = QkNorm::head;
       c.layernorm_1p = true;
       c.norm_placement = NormPlacement::both;
       c.activation = Activation::geglu_tanh;
     }},
    {"an encoder with dropout",
     [](ModelConfig& c) {
       use_dropout(c);
       c.bidirectional_attention = true;
       c.norm_placement = NormPlacement::after_sum;
       c.pos_emb = PositionEmbedding::learned;
       c.max_position_embeddings = 11;
       c.position_offset = 2;
       c.type_vocab_size = 2;
       c.embedding_norm = true;
       c.output_transform = true;
       c.use_bias_in_output = true;
       c.no_weight_tying = false;
     }},
    {"norms of sums, and no norm behind the layers",
     [](ModelConfig& c) {
       c.norm_placement = NormPlacement::after_sum;
       c.norm = Norm::rmsnorm;
     }},
    {"dropout", use_dropout},
    {"dropout, gpt_j_residual",
     [](ModelConfig& c) {
       use_dropout(c);
       c.gpt_j_residual = true;
     }},
    {"dropout, gpt_j_tied, learned positions",
     [](ModelConfig& c) {
       use_dropout(c);
       c.gpt_j_residual = true;
       c.gpt_j_tied = true;
       c.pos_emb = PositionEmbedding::learned;
     }},
    {"adapters",
     [](ModelConfig& c) {
       c.lora.rank = 3;
       c.lora.alpha = 5;
     }},
    {"adapters with dropout of a gated MLP",
     [](ModelConfig& c) {
       c.lora.rank = 2;
       c.lora.alpha = 2;
       c.lora.dropout = 0.3;
       c.lora.use_rslora = true;
       c.activation = Activation::swiglu;
       c.intermediate_size = 64;
     }},
    {"adapters of gpt_j_residual, and the norms",
     [](ModelConfig& c) {
       c.lora.rank = 2;
       c.lora.targets = {"query_key_value", "mlp.dense_h.*"};
       c.train_only = {"norm.weight"};
       c.gpt_j_residual = true;
     }},
    {"biases alone", [](ModelConfig& c) { c.train_only = {"bias"}; }},
    {"the second layer's attention and the tied table",
     [](ModelConfig& c) {
       c.train_only = {"layers.1.attention", "embed_in"};
       c.no_weight_tying = false;
     }},
    {"the second layer without its dense matrices",
     [](ModelConfig& c) {
       c.train_only = {"^layers.1"};
       c.freeze = {"dense.*weight"};
     }},
};

std::ostream& operator<<(std::ostream& out, const Option& o) { return out << o.name; }

ModelConfig config_of(const Option& option) {
  ModelConfig c = tiny_config();
  option.apply(c);
  return c;
}

/// Sets of as many ranks as divide the heads. Every set trains an equal model.
struct Group {
  Group(const ModelConfig& c, bool sequence_parallel) : world(world_communicator()) {
    int width = world->size();
    while (c.num_kv_heads % width != 0) width /= 2;
    comm = world->split(world->rank() / width, world->rank());
    tp = {comm.get(), sequence_parallel};
  }
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> comm;
  TensorParallel tp;
};

constexpr std::int64_t kSamples = 2;

}  // namespace

/// d/dε of the loss at θ + ε·v is g·v: for each parameter along a random direction of its own.
BOOST_DATA_TEST_CASE(finite_differences, bdata::make(kOptions) * bdata::make({false, true}),
                     option, sequence_parallel) {
  const TinyExec cpu;
  const ModelConfig config = config_of(option);
  const Group group(config, sequence_parallel);
  const TinyModel m(cpu.ex, config, DType::f64, group.tp);
  m.gradient(kSamples, kSamples);
  const auto& parameters = m.store->parameters();
  std::vector<double> slopes;
  for (const Parameter* p : parameters) {
    double slope = 0;
    for_each_element(*p, [&](std::size_t i, std::int64_t global) {
      slope += get(p->grad, i) * noise(p->name, global, 3);
    });
    if (!p->sharded_over.has(Axis::tp) && group.tp.rank() > 0) slope = 0;
    slopes.push_back(group.comm->reduce_value(slope, Reduction::sum));
  }
  constexpr double kStep = 1e-5;
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    const Parameter& p = *parameters[k];
    if (!p.trains) {
      BOOST_TEST(slopes[k] == 0, p.name << " is frozen, and has a gradient");
      continue;
    }
    const auto move = [&](double by) {
      for_each_element(p, [&](std::size_t i, std::int64_t global) {
        set(p.value, i, get(p.value, i) + by * noise(p.name, global, 3));
      });
    };
    move(kStep);
    const double above = m.loss(kSamples, kSamples);
    move(-2 * kStep);
    const double below = m.loss(kSamples, kSamples);
    move(kStep);
    const double expected = (above - below) / (2 * kStep);
    BOOST_TEST(std::abs(slopes[k] - expected) <= 1e-8 + 1e-6 * std::abs(expected),
               p.name << ": " << slopes[k] << " against " << expected);
    BOOST_TEST(std::abs(expected) > 1e-6, p.name << " has no slope to compare");
  }
}

/// Dropout masks are keyed by global index: no bit depends on tp, on sequence parallelism or on
/// the size of micro-batches.
BOOST_DATA_TEST_CASE(dropout_is_the_same_however_cut,
                     bdata::make({false, true}) * bdata::make({false, true}), gpt_j,
                     sequence_parallel) {
  const TinyExec cpu;
  ModelConfig config = tiny_config();
  use_dropout(config);
  config.lora.rank = 2;
  config.lora.dropout = 0.25;
  config.intermediate_size = 32;
  config.gpt_j_residual = gpt_j;
  const Group group(config, sequence_parallel);
  BOOST_TEST(group.tp.size() == group.world->size());
  const auto self = make_self_communicator();
  const TinyModel whole(cpu.ex, config, DType::f64, {self.get(), false});
  const TinyModel part(cpu.ex, config, DType::f64, group.tp);
  const double expected = whole.loss(4, 4);
  for (const std::int64_t each : {1, 2, 4}) {
    const double loss = part.loss(4, each);
    BOOST_TEST(std::abs(loss - expected) <= 1e-13 * expected,
               loss << " in micro-batches of " << each << " against " << expected);
  }
  BOOST_TEST(std::abs(whole.loss(4, 4, false) - expected) > 1e-4);  // dropout has an effect
  TinyExec other;
  const Exec reseeded{*other.device, *other.kernels, *other.stream, cpu.ex.seed + 1};
  const TinyModel again(reseeded, config, DType::f64, {self.get(), false});
  BOOST_TEST(std::abs(again.loss(4, 4) - expected) > 1e-4);  // dropout follows the seed
}
