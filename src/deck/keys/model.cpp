// SPDX-License-Identifier: Apache-2.0
// Keys of the model: its sizes, components and initial weights.
#include "tables.hpp"

namespace trireme::deck {
namespace {

constexpr Choice kNorms[] = {
    {"layernorm", code(Norm::layernorm)},
    {"rmsnorm", code(Norm::rmsnorm)},
    {"scalenorm", 0, "use layernorm or rmsnorm"},
    {"te_layernorm", 0, "it needs Transformer Engine; layernorm computes the same"},
    {"te_rmsnorm", 0, "it needs Transformer Engine; rmsnorm computes the same"},
};
constexpr std::string_view kOtherPositions = "use rotary, learned or none";
constexpr Choice kPositions[] = {
    {"learned", code(PositionEmbedding::learned)},
    {"rotary", code(PositionEmbedding::rotary)},
    {"none", code(PositionEmbedding::none)},
    {"sinusoidal", 0, kOtherPositions},
    {"rpe", 0, kOtherPositions},
    {"alibi", 0, kOtherPositions},
};
constexpr std::string_view kOtherActivations =
    "use gelu, relu, silu, or one of the gated swiglu, geglu, reglu";
constexpr Choice kActivations[] = {
    {"gelu", code(Activation::gelu)},     {"relu", code(Activation::relu)},
    {"silu", code(Activation::silu)},     {"swish", code(Activation::silu)},
    {"swiglu", code(Activation::swiglu)}, {"geglu", code(Activation::geglu)},
    {"reglu", code(Activation::reglu)},   {"softsign", 0, kOtherActivations},
    {"mish", 0, kOtherActivations},       {"bilinear", 0, kOtherActivations},
    {"glu", 0, kOtherActivations},
};
constexpr Choice kInits[] = {
    {"normal", code(InitMethod::normal)},
    {"scaled_normal", code(InitMethod::scaled_normal)},
    {"single_residual_scaled_normal", code(InitMethod::single_residual_scaled_normal)},
    {"small_init", code(InitMethod::small_init)},
    {"wang_init", code(InitMethod::wang_init)},
    {"xavier_uniform", code(InitMethod::xavier_uniform)},
    {"xavier_normal", code(InitMethod::xavier_normal)},
    {"orthogonal", code(InitMethod::orthogonal)},
    {"scaled_orthogonal", code(InitMethod::scaled_orthogonal)},
};

/// The work of a start grows with the layers. No trained model is known to have over 1,000.
constexpr Range kLayers{.low = 1, .high = 10'000};

const Key kModelKeys[] = {
    {"num_layers", "", [](D d) -> Field { return &d.deck.model.num_layers; },
     "transformer layers", kLayers, Need::required, Origin::megatron},
    {"hidden_size", "", [](D d) -> Field { return &d.deck.model.hidden_size; },
     "width of the residual stream", kSize, Need::required, Origin::megatron},
    {"num_attention_heads", "", [](D d) -> Field { return &d.deck.model.num_attention_heads; },
     "query heads", kSize, Need::required, Origin::megatron},
    {"num_kv_heads", "", [](D d) -> Field { return &d.deck.model.num_kv_heads; },
     "key and value heads; null: num_attention_heads", kSize, Need::open},
    {"seq_length", "", [](D d) -> Field { return &d.deck.model.seq_length; },
     "tokens in a sample", kSize, Need::required, Origin::megatron},
    {"max_position_embeddings", "",
     [](D d) -> Field { return &d.deck.model.max_position_embeddings; },
     "rows of a learned position embedding; null: seq_length", kSize, Need::open,
     Origin::megatron},
    {"vocab_size", "", [](D d) -> Field { return &d.deck.model.vocab_size; },
     "number of token ids; must agree with the data file; null: taken from there, or from "
     "vocab_file",
     kSize, Need::open, Origin::trireme},
    {"intermediate_size", "", [](D d) -> Field { return &d.deck.model.intermediate_size; },
     "inner width of the mlp, or of a gated mlp three times that; null: 4 hidden_size", kSize,
     Need::open},
    {"expansion_factor", "", [](D d) -> Field { return &d.expansion_factor; },
     "intermediate_size as a multiple of hidden_size", kPositive, Need::input},
    {"mlp_multiple_of", "", [](D d) -> Field { return &d.mlp_multiple_of; },
     "multiple to which the mlp's inner width is rounded up", kSize, Need::input},
    {"norm", "", [](D d) { return named(d.deck.model.norm, kNorms); }, "kind of norm"},
    {"layernorm_epsilon", "", [](D d) -> Field { return &d.layernorm_epsilon; },
     "epsilon of layernorm", kPositive, Need::usual, Origin::megatron},
    {"rms_norm_epsilon", "", [](D d) -> Field { return &d.rms_norm_epsilon; },
     "epsilon of rmsnorm", kPositive},
    {"pos_emb", "", [](D d) { return named(d.deck.model.pos_emb, kPositions); },
     "kind of position embedding"},
    {"rotary_pct",
     "",
     [](D d) -> Field { return &d.deck.model.rotary_pct; },
     "share of each head's entries that are rotated",
     {.low = 0, .high = 1, .above_low = true}},
    {"rotary_emb_base", "", [](D d) -> Field { return &d.deck.model.rotary_emb_base; },
     "base of the rotary frequencies", kFromOne},
    {"activation", "", [](D d) { return named(d.deck.model.activation, kActivations); },
     "activation of the mlp; swiglu, geglu and reglu are gated"},
    {"bias_gelu_fusion", "", [](D d) -> Field { return &d.bias_gelu_fusion; },
     "use the tanh approximation of gelu"},
    {"gpt_j_residual", "", [](D d) -> Field { return &d.deck.model.gpt_j_residual; },
     "compute attention and mlp in parallel"},
    {"gpt_j_tied", "", [](D d) -> Field { return &d.deck.model.gpt_j_tied; },
     "one norm for both attention and mlp"},
    {"no_weight_tying", "", [](D d) -> Field { return &d.deck.model.no_weight_tying; },
     "use an output matrix separate from the embedding"},
    {"use_bias_in_norms", "", [](D d) -> Field { return &d.deck.model.use_bias_in_norms; },
     "use biases in layernorm (rmsnorm has none)"},
    {"use_bias_in_attn_linear", "",
     [](D d) -> Field { return &d.deck.model.use_bias_in_attn_linear; },
     "use biases in attention's matrices"},
    {"use_bias_in_mlp", "", [](D d) -> Field { return &d.deck.model.use_bias_in_mlp; },
     "use biases in the mlp's matrices"},
    {"hidden_dropout", "", [](D d) -> Field { return &d.deck.model.hidden_dropout; },
     "dropout after embedding, attention and mlp", kBelowOne, Need::usual, Origin::megatron},
    {"attention_dropout", "", [](D d) -> Field { return &d.deck.model.attention_dropout; },
     "dropout of attention weights", kBelowOne, Need::usual, Origin::megatron},
    {"init_method", "", [](D d) { return named(d.deck.model.init_method, kInits); },
     "initial weights"},
    {"output_layer_init_method", "",
     [](D d) { return named(d.deck.model.output_layer_init_method, kInits); },
     "initial weights of matrices that write to the residual stream"},
    {"init_method_std", "", [](D d) -> Field { return &d.deck.model.init_method_std; },
     "standard deviation of the methods normal and scaled_normal", kNotNegative, Need::usual,
     Origin::megatron},
};

}  // namespace

std::span<const Key> model_keys() { return kModelKeys; }

}  // namespace trireme::deck
