// SPDX-License-Identifier: Apache-2.0
// What a transformer is made of, in GPT-NeoX's words. Plain data; the deck fills it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trireme/core/task.hpp"
#include "trireme/ops/types.hpp"

namespace trireme {

enum class PositionEmbedding : std::uint8_t { learned, rotary, none, alibi };
/// Norms of queries and keys before rotary embedding: of each head, or of a token's whole row.
enum class QkNorm : std::uint8_t { none, head, row };
/// Where a sublayer's norms stand: x + f(norm(x)), x + norm(f(x)), x + norm(f(norm(x))), or
/// norm(x + f(x)).
enum class NormPlacement : std::uint8_t { before, after, both, after_sum };
/// The row of a sample from which a classifier reads. by_attention: the first row where queries
/// see later keys, and else the last row. The word mean stands for the mean of all rows but
/// those of padding.
enum class ClassifierRow : std::uint8_t { by_attention, first, last, mean };
enum class InitMethod : std::uint8_t {
  normal,
  scaled_normal,
  single_residual_scaled_normal,
  small_init,
  wang_init,
  xavier_uniform,
  xavier_normal,
  orthogonal,
  scaled_orthogonal,
  zeros,           ///< biases
  ones,            ///< norm weights
  kaiming_uniform  ///< adapters
};

/// Low-rank adapters beside the matrices of layers (Hu et al., arXiv 2106.09685). They make
/// y = x Wᵀ + scale() · dropout(x) Aᵀ Bᵀ, with A [rank, in] and B [out, rank].
struct LoraConfig {
  std::int64_t rank = 0;  ///< 0: no adapters
  double alpha = 16;
  double dropout = 0;
  /// Patterns that match a matrix's name whole: "dense", or "attention.dense". Empty: every
  /// matrix of a layer.
  std::vector<std::string> targets;
  bool use_rslora = false;

  [[nodiscard]] bool enabled() const { return rank > 0; }
  /// alpha / rank; or alpha / √rank (Kalajdzievski, arXiv 2312.03732).
  [[nodiscard]] double scale() const;
  friend bool operator==(const LoraConfig&, const LoraConfig&) = default;
};

/// How rotary frequencies change for sequences longer than those of the first training. The
/// formulas stand in src/model/rope.hpp. A setting of another type has no effect.
struct RopeScaling {
  enum class Type : std::uint8_t { none, linear, dynamic, llama3, yarn };
  Type type = Type::none;
  double factor = 1;
  std::int64_t original_max_position_embeddings = 0;  ///< length of the first training
  double low_freq_factor = 1;                         ///< llama3
  double high_freq_factor = 4;                        ///< llama3
  double beta_fast = 32;                              ///< yarn
  double beta_slow = 1;                               ///< yarn
  double attention_factor = 0;  ///< yarn: factor of cosines and sines; 0: 0.1 ln(factor) + 1
  friend bool operator==(const RopeScaling&, const RopeScaling&) = default;
};

/// Maximal update parametrization (Yang et al., arXiv 2203.03466): what is tuned on a narrow
/// base model holds for a wide one. src/model/mup.cpp has the factors. Widths of 0 follow from
/// the model's: see mup_base_model().
struct MupConfig {
  bool enabled = false;
  std::int64_t hidden_size = 0;  ///< the base model's widths
  std::int64_t num_attention_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t kv_channels = 0;
  std::int64_t mlp_width = 0;  ///< mlp_inner()
  double init_scale = 1;       ///< factor of initial matrices and embeddings
  double attn_temp = 1;        ///< divides attention scores
  double output_temp = 1;      ///< divides the output matrix's part of logits
  double embedding_mult = 1;   ///< factor of the embeddings' sum
  friend bool operator==(const MupConfig&, const MupConfig&) = default;
};

struct ModelConfig {
  std::int64_t num_layers = 0;
  std::int64_t hidden_size = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_kv_heads = 0;  ///< = num_attention_heads without grouped-query attention
  std::int64_t kv_channels = 0;   ///< width of a head; 0: hidden_size / num_attention_heads
  std::int64_t seq_length = 0;
  std::int64_t max_position_embeddings = 0;
  std::int64_t vocab_size = 0;         ///< true rows: padding is never computed or stored
  std::int64_t intermediate_size = 0;  ///< width of the up-projection, gate included

  Norm norm = Norm::layernorm;
  double norm_epsilon = 1e-5;
  NormPlacement norm_placement = NormPlacement::before;
  bool layernorm_1p = false;  ///< norms multiply by 1 + weight
  QkNorm qk_norm = QkNorm::none;
  PositionEmbedding pos_emb = PositionEmbedding::learned;
  std::int64_t position_offset = 0;  ///< row of a learned table that the first position takes
  std::int64_t type_vocab_size = 0;  ///< types of tokens with an embedding; 0: none
  bool embedding_norm = false;       ///< a norm of the embeddings' sum
  bool bidirectional_attention = false;  ///< queries attend to later keys, too
  double rotary_pct = 1.0;
  double rotary_emb_base = 10000;
  double rotary_emb_local_base = 0;  ///< base under a sliding window, unscaled; 0: as elsewhere
  RopeScaling rope_scaling;
  std::int64_t sliding_window_width = 0;        ///< keys that a query attends to; 0: all
  std::int64_t sliding_window_pattern = 0;      ///< every n-th layer has no window; 0: none
  std::int64_t sliding_window_first_layer = 0;  ///< layers before this one have no window
  double attention_scale = 0;                   ///< factor of scores; 0: 1 / √head_dim()
  double attention_logit_softcap = 0;  ///< c: scores become c·tanh(score / c); 0: none
  double output_logit_softcap = 0;     ///< likewise, for the logits of the output
  double embedding_scale = 1;          ///< factor of token embeddings
  Activation activation = Activation::gelu;

  bool gpt_j_residual = false;  ///< x + attn(ln1 x) + mlp(ln2 x)
  bool gpt_j_tied = false;      ///< ... with one norm for both branches
  bool no_weight_tying = false;
  bool use_bias_in_norms = true;
  bool use_bias_in_attn_linear = true;  ///< attention's output matrix
  bool use_bias_in_qkv = true;          ///< the matrix of queries, keys and values
  bool use_bias_in_output = false;      ///< the output matrix
  bool output_transform = false;        ///< norm(activation(dense(x))) before that matrix
  bool use_bias_in_mlp = true;

  bool reset_position_ids = false;    ///< positions count from each document's beginning
  bool reset_attention_mask = false;  ///< attention ends at documents

  double hidden_dropout = 0;
  double attention_dropout = 0;

  InitMethod init_method = InitMethod::normal;
  InitMethod output_layer_init_method = InitMethod::scaled_normal;
  double init_method_std = 0.02;

  Task task = Task::language_model;
  // A classifier of texts, or of images by a vision transformer:
  std::int64_t num_labels = 0;  ///< classes of texts; 0: taken from the data
  ClassifierRow classifier_row = ClassifierRow::by_attention;
  bool classifier_pooler = false;  ///< dense and tanh before the classes
  double classifier_dropout = 0;   ///< before the classes

  MupConfig mup;
  LoraConfig lora;
  /// Patterns that match anywhere in a parameter's name. Empty: all train; with adapters, these
  /// alone.
  std::vector<std::string> train_only;
  std::vector<std::string> freeze;  ///< ... of parameters that don't train in any case

  // A vision transformer (Dosovitskiy et al., arXiv 2010.11929). Its tokens are the patches of
  // an image, behind a class token unless the mean of all rows is classified. The classes are
  // its vocabulary.
  std::int64_t patch_size = 0;           ///< rows and columns of a patch; 0: no images
  std::vector<std::int64_t> image_size;  ///< rows and columns of an image
  std::int64_t num_channels = 1;         ///< bytes of a pixel
  double image_mean = 0;                 ///< a byte b becomes (b / 255 − mean) / std
  double image_std = 1;

  double label_smoothing = 0;  ///< share of a target that all classes have evenly, in training

  /// Widths of a multilayer perceptron, from a sample's inputs to the classes, at least two:
  /// see perceptron_config(). Empty: a transformer.
  std::vector<std::int64_t> mlp_sizes;

  [[nodiscard]] bool is_perceptron() const { return !mlp_sizes.empty(); }
  [[nodiscard]] bool is_vision() const { return patch_size > 0; }
  /// Bytes of an image of a vision transformer, and those of a patch.
  [[nodiscard]] std::int64_t image_bytes() const {
    return image_size[0] * image_size[1] * num_channels;
  }
  [[nodiscard]] std::int64_t patch_bytes() const {
    return patch_size * patch_size * num_channels;
  }
  [[nodiscard]] bool has_class_token() const {
    return is_vision() && classifier_row != ClassifierRow::mean;
  }
  /// seq_length of a vision transformer.
  [[nodiscard]] std::int64_t vision_rows() const {
    return image_bytes() / patch_bytes() + (has_class_token() ? 1 : 0);
  }
  /// Whether the head is a PooledClassifier, which classifies one row of a sample.
  [[nodiscard]] bool pools_rows() const {
    return task == Task::sequence_classification || is_vision();
  }
  /// What a sample holds. The inputs of a text are seq_length tokens.
  [[nodiscard]] SampleLayout sample() const {
    return sample_layout(task, is_perceptron() ? mlp_sizes.front()
                               : is_vision()   ? image_bytes()
                                               : seq_length);
  }
  /// Classes that a target may have, if classifies(task).
  [[nodiscard]] std::int64_t classes() const {
    return task == Task::sequence_classification ? num_labels : vocab_size;
  }
  /// Whether the output matrix is the token embedding's table.
  [[nodiscard]] bool ties_output() const { return !no_weight_tying && !pools_rows(); }
  [[nodiscard]] bool transforms_output() const { return output_transform && !pools_rows(); }
  /// What a row of activations stands for, in the plural.
  [[nodiscard]] const char* rows_name() const {
    return is_perceptron() ? "images" : is_vision() ? "patches" : "tokens";
  }
  [[nodiscard]] std::int64_t head_dim() const {
    return kv_channels > 0 ? kv_channels : hidden_size / num_attention_heads;
  }
  /// Entries of all query heads of a token: the width of attention's result.
  [[nodiscard]] std::int64_t attention_width() const {
    return num_attention_heads * head_dim();
  }
  /// Factor of attention scores; 0: 1 / √head_dim().
  [[nodiscard]] double score_factor() const {
    return mup.enabled ? 1 / (static_cast<double>(head_dim()) * mup.attn_temp)
                       : attention_scale;
  }
  /// Factor of the product of the output matrix.
  [[nodiscard]] double output_factor() const {
    if (!mup.enabled) return 1;
    return static_cast<double>(mup.hidden_size) /
           (static_cast<double>(hidden_size) * mup.output_temp);
  }
  /// Factor of the sum of embeddings.
  [[nodiscard]] double embedding_factor() const { return mup.enabled ? mup.embedding_mult : 1; }
  /// The window of a layer; 0: all keys.
  [[nodiscard]] std::int64_t window_of(std::int64_t layer) const {
    const std::int64_t n = sliding_window_pattern;
    const bool whole = layer < sliding_window_first_layer || (n > 0 && (layer + 1) % n == 0);
    return whole ? 0 : sliding_window_width;
  }
  /// Entries of a head that rotary embedding turns.
  [[nodiscard]] std::int64_t rotary_dims() const {
    return static_cast<std::int64_t>(rotary_pct * static_cast<double>(head_dim()));
  }
  /// Width of the activation's output: half the up-projection if gated.
  [[nodiscard]] std::int64_t mlp_inner() const {
    return gated(activation) ? intermediate_size / 2 : intermediate_size;
  }
  /// Whether a unit stands between the last layer and the head: a norm or output_transform.
  [[nodiscard]] bool has_final_norm() const {
    return !is_perceptron() &&
           (transforms_output() || norm_placement != NormPlacement::after_sum);
  }
  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// A multilayer perceptron for classification, written as a model whose samples have one row
/// and whose vocabulary is the classes. `sizes` are as in ModelConfig::mlp_sizes.
[[nodiscard]] ModelConfig perceptron_config(const std::vector<std::int64_t>& sizes,
                                            Activation activation, double dropout);

/// Which activations of the layers backward recomputes instead of keeping them: Chen et al.,
/// arXiv 1604.06174, and for selective Korthikanti et al., arXiv 2205.05198. No bit of the
/// result depends on these settings.
struct RecomputeConfig {
  enum class Kind : std::uint8_t {
    none,
    selective,  ///< all of attention between its input and the output projection
    full        ///< all but the input of each group of layers
  };
  Kind kind = Kind::none;
  std::int64_t num_layers = 1;  ///< layers in a group
  bool partition = false;       ///< each rank of tp keeps a share of an input
  bool in_host_memory = false;  ///< inputs are kept in the host's memory
  friend bool operator==(const RecomputeConfig&, const RecomputeConfig&) = default;
};

}  // namespace trireme
