// SPDX-License-Identifier: Apache-2.0
// Encoders: BERT, RoBERTa with XLM-RoBERTa, and DistilBERT.
#include "trireme/core/error.hpp"

#include "rules.hpp"

namespace trireme::huggingface {

namespace {

constexpr const char* kNotTied = "the output matrix is that of the embedding";

/// Choices that all families of this file share.
std::vector<Rule> encoder_rules() {
  return {always("norm", "layernorm"),
          always("pos_emb", "learned"),
          always("norm_placement", "after_sum"),
          always("embedding_norm", true),
          always("bidirectional_attention", true),
          always("use_bias_in_norms", true),
          always("use_bias_in_attn_linear", true),
          always("use_bias_in_mlp", true),
          always("no_weight_tying", false),
          only("tie_word_embeddings", true, kNotTied),
          refusing("is_decoder", false, "a decoder is another model"),
          refusing("add_cross_attention", false, "there is no second sequence"),
          refusing("position_embedding_type", "absolute", "positions are rows of a table")};
}

/// Those of a model that finds masked tokens.
std::vector<Rule> core_rules() {
  std::vector<Rule> rules{always("task", "masked_language_model"),
                          always("output_transform", true), always("use_bias_in_output", true)};
  add(rules, encoder_rules());
  return rules;
}

/// The number of classes, which id2label names.
Rule labels() {
  return {[](Fields& config, Keys& keys) {
            constexpr std::int64_t kUsual = 2;  // transformers' own
            const Json& names = config.value("id2label");
            const std::int64_t named =
                names.is_object() ? static_cast<std::int64_t>(names.size()) : kUsual;
            const std::int64_t said = config.count("num_labels", named);
            TRM_REQUIRE(said == named || !names.is_object(),
                        "{}: num_labels is {}, but id2label names {} classes", config.where(),
                        said, named);
            TRM_REQUIRE(said >= 2, "{}: a classifier of {} class can't be loaded",
                        config.where(), said);
            keys["num_labels"] = said;
          },
          [](const Keys& keys, OrderedJson& config) {
            for (std::int64_t i = 0; i < whole(keys, "num_labels", 0); ++i) {
              config["id2label"][fmt::format("{}", i)] = fmt::format("LABEL_{}", i);
              config["label2id"][fmt::format("LABEL_{}", i)] = i;
            }
          }};
}

/// BERT's words for sizes, which RoBERTa has too.
std::vector<Rule> bert_sizes() {
  return {count("vocab_size", "vocab_size"),
          count("hidden_size", "hidden_size"),
          count("num_hidden_layers", "num_layers"),
          count("num_attention_heads", "num_attention_heads"),
          count("intermediate_size", "intermediate_size"),
          count("max_position_embeddings", "max_position_embeddings"),
          count("type_vocab_size", "type_vocab_size"),
          number("layer_norm_eps", "layernorm_epsilon", 1e-12),
          activation("hidden_act", "gelu", false),
          dropouts("attention_probs_dropout_prob", "hidden_dropout_prob", 0.1)};
}

std::vector<TensorRule> bert_layer() {
  return {{"attention.query_key_value", "attention.self.{}", Layout::words},
          {"attention.dense", "attention.output.dense"},
          {"post_attention_output_norm", "attention.output.LayerNorm"},
          {"mlp.dense_h_to_4h", "intermediate.dense"},
          {"mlp.dense_4h_to_h", "output.dense"},
          {"post_mlp_output_norm", "output.LayerNorm"}};
}

/// BERT's embeddings, and the names of its head.
std::vector<TensorRule> bert_ends(const std::vector<TensorRule>& head) {
  std::vector<TensorRule> rules{{"embed_in", "bert.embeddings.word_embeddings"},
                                {"embed_positions", "bert.embeddings.position_embeddings"},
                                {"embed_types", "bert.embeddings.token_type_embeddings"},
                                {"embed_norm", "bert.embeddings.LayerNorm"}};
  rules.insert(rules.end(), head.begin(), head.end());
  return rules;
}

/// The first position's row follows that of padding.
Rule offset_after_padding() {
  return {[](Fields& config, Keys& keys) {
            const Json& id = config.value("pad_token_id");
            TRM_REQUIRE(id.is_null() || (id.is_number_integer() && id.get<std::int64_t>() >= 0),
                        "{}: pad_token_id must be a whole number from 0, is {}", config.where(),
                        brief(id));
            const std::int64_t offset = (id.is_null() ? 1 : id.get<std::int64_t>()) + 1;
            const std::int64_t rows = whole(keys, "max_position_embeddings", 0);
            TRM_REQUIRE(offset < rows,
                        "{}: pad_token_id {} leaves none of the {} rows of "
                        "max_position_embeddings to a token",
                        config.where(), offset - 1, rows);
            keys["position_offset"] = offset;
          },
          [](const Keys& keys, OrderedJson& config) {
            config["pad_token_id"] = whole(keys, "position_offset", 1) - 1;
          }};
}

const std::vector<std::string_view> kOfEncoders{"gradient_checkpointing",
                                                "chunk_size_feed_forward", "pooler_fc_size",
                                                "directionality", "max_length"};

Family like_roberta(std::string_view type, std::string_view architecture) {
  Family f{.model_type = type,
           .architecture = architecture,
           .base = "roberta.",
           .layers = "encoder.layer.",
           .ends = {{"embed_in", "roberta.embeddings.word_embeddings"},
                    {"embed_positions", "roberta.embeddings.position_embeddings"},
                    {"embed_types", "roberta.embeddings.token_type_embeddings"},
                    {"embed_norm", "roberta.embeddings.LayerNorm"},
                    {"output_transform.dense", "lm_head.dense"},
                    {"output_transform.norm", "lm_head.layer_norm"},
                    {"embed_out.bias", "lm_head.bias"},
                    {"embed_out", "lm_head.decoder"}},
           .layer = bert_layer(),
           .buffers = {".embeddings.position_ids", "lm_head.decoder.bias",
                       "roberta.pooler.dense.weight", "roberta.pooler.dense.bias"},
           .rules = bert_sizes(),
           .without_effect = kOfEncoders,
           .auto_class = "AutoModelForMaskedLM"};
  add(f.rules, core_rules());
  add(f.rules, {offset_after_padding(),
                refusing("hidden_act", "gelu", "the head's activation is gelu in any case")});
  return f;
}

}  // namespace

Family bert() {
  Family f{.model_type = "bert",
           .architecture = "BertForMaskedLM",
           .base = "bert.",
           .layers = "encoder.layer.",
           .ends = bert_ends({{"output_transform.dense", "cls.predictions.transform.dense"},
                              {"output_transform.norm", "cls.predictions.transform.LayerNorm"},
                              {"embed_out.bias", "cls.predictions.bias"},
                              {"embed_out", "cls.predictions.decoder"}}),
           .layer = bert_layer(),
           .pooler = "bert.pooler.dense",
           .buffers = {".embeddings.position_ids", "cls.predictions.decoder.bias",
                       "bert.pooler.dense.weight", "bert.pooler.dense.bias",
                       "cls.seq_relationship.weight", "cls.seq_relationship.bias"},
           .rules = bert_sizes(),
           .without_effect = kOfEncoders,
           .auto_class = "AutoModelForMaskedLM"};
  add(f.rules, core_rules());
  add(f.rules, {always("position_offset", 0)});
  return f;
}

Family bert_classifier() {
  Family f{.model_type = "bert",
           .architecture = "BertForSequenceClassification",
           .base = "bert.",
           .layers = "encoder.layer.",
           .ends = bert_ends({{"pooler.dense", "bert.pooler.dense"}, {"score", "classifier"}}),
           .layer = bert_layer(),
           .buffers = {".embeddings.position_ids"},
           .rules = bert_sizes(),
           .without_effect = kOfEncoders,
           .auto_class = "AutoModelForSequenceClassification"};
  add(f.rules, encoder_rules());
  add(f.rules,
      {always("position_offset", 0), always("task", "sequence_classification"),
       always("classifier_pooler", true), labels(),
       refusing("problem_type", "single_label_classification", "a sample here has one class")});
  return f;
}

Family roberta() { return like_roberta("roberta", "RobertaForMaskedLM"); }

Family xlm_roberta() { return like_roberta("xlm-roberta", "XLMRobertaForMaskedLM"); }

Family distilbert() {
  Family f{
      .model_type = "distilbert",
      .architecture = "DistilBertForMaskedLM",
      .base = "distilbert.",
      .layers = "transformer.layer.",
      .ends = {{"embed_in", "distilbert.embeddings.word_embeddings"},
               {"embed_positions", "distilbert.embeddings.position_embeddings"},
               {"embed_norm", "distilbert.embeddings.LayerNorm"},
               {"output_transform.dense", "vocab_transform"},
               {"output_transform.norm", "vocab_layer_norm"},
               {"embed_out", "vocab_projector"}},
      .layer = {{"attention.query_key_value", "attention.{}_lin", Layout::heads},
                {"attention.dense", "attention.out_lin"},
                {"post_attention_output_norm", "sa_layer_norm"},
                {"mlp.dense_h_to_4h", "ffn.lin1"},
                {"mlp.dense_4h_to_h", "ffn.lin2"},
                {"post_mlp_output_norm", "output_layer_norm"}},
      .buffers = {".embeddings.position_ids"},
      .rules = {count("vocab_size", "vocab_size"), count("dim", "hidden_size"),
                count("n_layers", "num_layers"), count("n_heads", "num_attention_heads"),
                count("hidden_dim", "intermediate_size"),
                count("max_position_embeddings", "max_position_embeddings"),
                always("layernorm_epsilon", 1e-12), activation("activation", "gelu", false),
                dropouts("attention_dropout", "dropout", 0.1)},
      .without_effect = {"qa_dropout", "seq_classif_dropout", "tie_weights_", "output_past"},
      .auto_class = "AutoModelForMaskedLM"};
  add(f.rules, core_rules());
  add(f.rules, {always("position_offset", 0),
                refusing("sinusoidal_pos_embds", false, "positions train")});
  return f;
}

}  // namespace trireme::huggingface
