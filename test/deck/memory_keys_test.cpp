// SPDX-License-Identifier: Apache-2.0
// Decks that ask for ZeRO, half precision and recompute. Covers names of keys, defaults,
// contradictions, and warnings about keys without effect.
#include <boost/test/unit_test.hpp>

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

using Kind = RecomputeConfig::Kind;

Deck deck(const std::string& lines = "") { return parse_deck(kLeast + lines, "x.yml"); }

/// Requires a deck without warnings, which is equal when written and read again.
Deck silent(const std::string& lines) {
  Deck d = deck(lines);
  for (const std::string& w : d.warnings) BOOST_ERROR(lines << ": " << w);
  BOOST_CHECK_MESSAGE(parse_deck(to_yaml(d), "y.yml") == d, lines);
  return d;
}

std::string error(const std::string& lines) { return parse_error(kLeast + lines); }

/// The warning of a deck that must have exactly one.
std::string warning(const std::string& lines) {
  const Deck d = deck(lines);
  BOOST_CHECK_MESSAGE(d.warnings.size() == 1, lines << ": " << d.warnings.size());
  return d.warnings.empty() ? "" : d.warnings[0];
}

PrecisionConfig types(const std::string& lines) { return silent(lines).types; }

/// The types of compute, gradient, master, moments and communication.
PrecisionConfig all(DType compute, DType gradient, DType master, DType moments,
                    DType communication) {
  return {compute, gradient, master, moments, communication};
}

constexpr DType f32 = DType::f32;
constexpr DType f16 = DType::f16;
constexpr DType bf16 = DType::bf16;

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_memory)

BOOST_AUTO_TEST_CASE(defaults) {
  const Deck d = silent("");
  BOOST_CHECK(d.zero == ZeroConfig{});
  BOOST_CHECK_EQUAL(d.zero.stage, 0);
  BOOST_CHECK(d.zero.overlap_comm && !d.zero.reduce_once_per_step);
  BOOST_CHECK(d.types == all(f32, f32, f32, f32, f32));
  BOOST_CHECK(d.loss_scale == LossScaleConfig{});
  BOOST_CHECK(!d.loss_scale.enabled);
  BOOST_CHECK(d.recompute == RecomputeConfig{});
  BOOST_CHECK(d.recompute.kind == Kind::none);
}

BOOST_AUTO_TEST_CASE(zero_under_deepspeeds_names) {
  const ZeroConfig z = silent(R"(zero_optimization:
  stage: 3
  overlap_comm: false
  reduce_bucket_size: 5e8
  allgather_bucket_size: 2
  stage3_prefetch_bucket_size: 0
  stage3_param_persistence_threshold: 4
  stage3_max_live_parameters: 5
  sub_group_size: 6
)")
                           .zero;
  BOOST_CHECK((z == ZeroConfig{3, false, 500'000'000, 2, 0, 4, 5, 6, false, {}, 1}));
  BOOST_CHECK(silent("zero_optimization: {stage: 1, reduce_once_per_step: true}\n")
                  .zero.reduce_once_per_step);
}

BOOST_AUTO_TEST_CASE(zero_under_neox_names) {
  const ZeroConfig z = silent(
                           "zero_stage: 2\nzero_reduce_bucket_size: 7\n"
                           "zero_allgather_bucket_size: 8\nzero_reduce_scatter: true\n"
                           "zero_contiguous_gradients: true\n")
                           .zero;
  BOOST_CHECK_EQUAL(z.stage, 2);
  BOOST_CHECK_EQUAL(z.reduce_bucket_size, 7);
  BOOST_CHECK_EQUAL(z.allgather_bucket_size, 8);
  CHECK_CONTAINS(error("zero_stage: 2\nzero_optimization: {stage: 1}\n"),
                 "zero_optimization.stage: 1 contradicts zero_stage: 2 in line 9");
}

BOOST_AUTO_TEST_CASE(what_zero_cannot_be) {
  CHECK_CONTAINS(error("zero_optimization: {stage: 4}\n"),
                 "zero_optimization.stage must be ≥ 0 and ≤ 3, is 4");
  CHECK_CONTAINS(error("zero_stage: all\n"), "expects an integer, got 'all'");
  CHECK_CONTAINS(error("zero_optimization: {reduce_bucket_size: 0}\n"), "must be ≥ 1, is 0");
  CHECK_CONTAINS(error("zero_optimization: {sub_group_size: -1}\n"), "must be ≥ 0, is -1");
  for (const char* stage : {"2", "3"}) {
    CHECK_CONTAINS(
        error(fmt::format("zero_optimization: {{stage: {}, reduce_once_per_step: true}}\n",
                          stage)),
        fmt::format("x.yml:9:31: zero_optimization.reduce_once_per_step: true "
                    "contradicts zero_optimization.stage: {}",
                    stage));
  }
  CHECK_CONTAINS(error("zero_optimization: {stage: 3, offload_param: {device: cpu}}\n"),
                 "only the optimizer's state can be offloaded");
  CHECK_CONTAINS(error("zero_optimization: {stage: 0, cpu_offload: true}\n"),
                 "requires zero_optimization.stage 1, 2 or 3");
  CHECK_CONTAINS(error("zero_optimization: {stage: 3, mics_shard_size: 8}\n"),
                 "weights are sharded over all data-parallel ranks");
}

BOOST_AUTO_TEST_CASE(what_zero_always_does) {
  silent(
      "zero_optimization: {contiguous_gradients: true, reduce_scatter: true, "
      "allgather_partitions: true, round_robin_gradients: false}\n");
  const std::string w = warning(
      "zero_optimization: {contiguous_gradients: false, reduce_scatter: false, "
      "allgather_partitions: false, round_robin_gradients: true}\n");
  CHECK_CONTAINS(w,
                 "without effect in this deck: zero_optimization.contiguous_gradients: false "
                 "(gradients are always contiguous)");
  CHECK_CONTAINS(w,
                 "zero_optimization.reduce_scatter: false (gradients are always reduced by "
                 "reduce-scatter)");
  CHECK_CONTAINS(w, "allgather_partitions: false (weights are always gathered by all-gather)");
  CHECK_CONTAINS(w, "round_robin_gradients: true (the ranks' shards are equal in any case)");
  CHECK_CONTAINS(warning("zero_reduce_scatter: false\n"), "zero_reduce_scatter: false");
  CHECK_CONTAINS(warning("zero_contiguous_gradients: false\n"), "zero_contiguous_gradients");
  BOOST_CHECK_EQUAL(
      warning("zero_optimization: {stage: 2, stage3_max_live_parameters: 1e6}\n"),
      "without effect in this deck: zero_optimization.stage3_max_live_parameters: 1e6 "
      "(zero_optimization.stage is 2)");
  silent("zero_optimization: {stage: 2, stage3_max_live_parameters: 1e9}\n");  // the default
}

BOOST_AUTO_TEST_CASE(ways_to_ask_for_a_precision) {
  for (const char* lines : {"precision: fp16\n", "fp16: {enabled: true}\n",
                            "precision: fp16\nfp16: {enabled: on}\n",
                            "fp16: {fp16: true, enabled: true, type: fp16}\n",
                            "precision: fp16\nbf16: {enabled: false}\n",
                            "precision: fp16\nfp16: {hysteresis: 2}\n"}) {
    BOOST_CHECK_MESSAGE(types(lines) == all(f16, f32, f32, f32, f16), lines);
  }
  for (const char* lines :
       {"precision: bfloat16\n", "precision: bf16\n", "bf16: {enabled: true}\n",
        "fp16: {type: bfloat16}\n", "fp16: {enabled: true, type: bfloat16}\n",
        "precision: bfloat16\nfp16: {enabled: false}\n",
        "precision: bfloat16\nfp16: {type: bfloat16}\nbf16: {enabled: true}\n"}) {
    BOOST_CHECK_MESSAGE(types(lines) == all(bf16, f32, f32, f32, f32), lines);
  }
  for (const char* lines :
       {"precision: fp32\n", "precision: null\n", "fp16: {enabled: false}\n", "fp16: null\n",
        "fp16: {enabled: false, type: bfloat16}\n", "bf16: {enabled: false}\n",
        "precision: fp32\nfp16: {enabled: false}\nbf16: {enabled: false}\n"}) {
    BOOST_CHECK_MESSAGE(types(lines) == all(f32, f32, f32, f32, f32), lines);
  }
}

BOOST_AUTO_TEST_CASE(precisions_that_contradict) {
  CHECK_CONTAINS(error("fp16: {enabled: true}\nbf16: {enabled: true}\n"),
                 "x.yml:10:8: bf16.enabled: true contradicts fp16.enabled: true (x.yml:9:8); "
                 "keep one of them");
  CHECK_CONTAINS(error("precision: fp32\nfp16: {enabled: true}\n"),
                 "fp16.enabled: true contradicts precision: fp32 (x.yml:9:1)");
  CHECK_CONTAINS(error("precision: bfloat16\nfp16: {enabled: true}\n"),
                 "fp16.enabled: true contradicts precision: bfloat16");
  CHECK_CONTAINS(error("precision: fp16\nbf16: {enabled: true}\n"),
                 "bf16.enabled: true contradicts precision: fp16");
  CHECK_CONTAINS(error("precision: fp16\nfp16: {type: bfloat16}\n"),
                 "fp16.type: bfloat16 contradicts precision: fp16");
  CHECK_CONTAINS(error("precision: fp16\nfp16: {enabled: false}\n"),
                 "fp16.enabled: false contradicts precision: fp16");
  CHECK_CONTAINS(error("precision: bfloat16\nbf16: {enabled: false}\n"),
                 "bf16.enabled: false contradicts precision: bfloat16");
  CHECK_CONTAINS(error("precision: fp64\n"), "precision expects one of fp32, fp16, bfloat16");
  CHECK_CONTAINS(error("fp16: {type: int8}\n"), "fp16.type expects one of fp16, bfloat16");
  CHECK_CONTAINS(error("amp: {enabled: true}\n"), "amp.enabled: true is not available: use");
  CHECK_CONTAINS(error("torch_autocast: {enabled: true}\n"), "torch_autocast.enabled: true");
}

BOOST_AUTO_TEST_CASE(types_that_are_kept) {
  BOOST_CHECK(types("fp16: {enabled: true, fp16_master_weights_and_grads: true}\n") ==
              all(f16, f16, f16, f32, f16));
  BOOST_CHECK(types("bf16: {enabled: true, bf16_master_weights_and_grads: true}\n") ==
              all(bf16, bf16, bf16, f32, f32));
  const std::string both =
      "bf16: {enabled: true, bf16_master_weights_and_grads: true, bf16_optimizer_states: "
      "true}\n";
  BOOST_CHECK(types(both) == all(bf16, bf16, bf16, bf16, f32));
  CHECK_CONTAINS(error("bf16: {enabled: true, bf16_optimizer_states: true}\n"),
                 "x.yml:9:23: bf16.bf16_optimizer_states: true needs "
                 "bf16.bf16_master_weights_and_grads: true");
  BOOST_CHECK(types("bf16: {enabled: true, immediate_grad_update: true}\n").master == f32);
}

BOOST_AUTO_TEST_CASE(the_type_of_gradients) {
  const auto grad = [](const std::string& type, const std::string& more) {
    return types("data_types: {grad_accum_dtype: " + type + "}\n" + more).gradient;
  };
  BOOST_CHECK(grad("fp32", "") == f32);
  BOOST_CHECK(grad("bf16", "") == bf16);
  BOOST_CHECK(grad("bfloat16", "precision: bfloat16\n") == bf16);
  BOOST_CHECK(grad("fp16", "precision: fp16\n") == f16);
  BOOST_CHECK(grad("fp32", "precision: fp16\n") == f32);
  BOOST_CHECK(grad("fp16", "fp16: {enabled: true, fp16_master_weights_and_grads: true}\n") ==
              f16);
  const auto wrong = [](const std::string& type, const std::string& more) {
    return error("data_types: {grad_accum_dtype: " + type + "}\n" + more);
  };
  CHECK_CONTAINS(wrong("fp16", ""),
                 "x.yml:9:32: data_types.grad_accum_dtype: fp16 does not go with precision: "
                 "fp32; use fp32 or bf16");
  CHECK_CONTAINS(wrong("fp16", "bf16: {enabled: true}\n"),
                 "does not go with precision: bf16; use fp32 or bf16");
  CHECK_CONTAINS(wrong("bf16", "precision: fp16\n"), "precision: fp16; use fp32 or fp16");
  CHECK_CONTAINS(wrong("fp32", "fp16: {enabled: true, fp16_master_weights_and_grads: true}\n"),
                 "data_types.grad_accum_dtype: fp32 contradicts "
                 "fp16.fp16_master_weights_and_grads: true (x.yml:10:23)");
  CHECK_CONTAINS(wrong("fp32", "bf16: {enabled: true, bf16_master_weights_and_grads: true}\n"),
                 "contradicts bf16.bf16_master_weights_and_grads: true");
  CHECK_CONTAINS(wrong("fp8", ""), "expects one of fp32, fp16, bf16");
}

BOOST_AUTO_TEST_CASE(the_type_of_messages) {
  const auto sent = [](const std::string& lines) { return types(lines).communication; };
  BOOST_CHECK(sent("precision: fp16\nfp32_allreduce: true\n") == f32);
  BOOST_CHECK(sent("precision: fp16\nfp32_allreduce: false\n") == f16);
  BOOST_CHECK(sent("precision: bfloat16\ncommunication_data_type: bf16\n") == bf16);
  BOOST_CHECK(sent("communication_data_type: fp16\n") == f16);
  BOOST_CHECK(sent("precision: fp16\ncommunication_data_type: fp32\nfp32_allreduce: true\n") ==
              f32);
  CHECK_CONTAINS(error("communication_data_type: bf16\nfp32_allreduce: true\n"),
                 "communication_data_type: bf16 contradicts fp32_allreduce: true (x.yml:10:1)");
  CHECK_CONTAINS(error("communication_data_type: fp64\n"), "expects one of fp32, fp16, bf16");
}

BOOST_AUTO_TEST_CASE(the_loss_scale) {
  const LossScaleConfig nested =
      silent(
          "fp16: {enabled: true, loss_scale: 0, initial_scale_power: 12, loss_scale_window: "
          "500, hysteresis: 4, consecutive_hysteresis: true, min_loss_scale: 0.25}\n")
          .loss_scale;
  BOOST_CHECK((nested == LossScaleConfig{true, 0, 12, 500, 4, true, 0.25}));
  const LossScaleConfig flat =
      silent(
          "precision: fp16\nloss_scale_window: 1000.0\nhysteresis: 3\nmin_scale: 1.0\n"
          "loss_scale: 0.0\ndynamic_loss_scale: true\n")
          .loss_scale;
  BOOST_CHECK((flat == LossScaleConfig{true, 0, 16, 1000, 3, false, 1}));
  BOOST_CHECK_EQUAL(
      silent("precision: fp16\nloss_scale: 128\ndynamic_loss_scale: false\n").loss_scale.fixed,
      128);
  CHECK_CONTAINS(error("precision: fp16\nhysteresis: 3\nfp16: {hysteresis: 2}\n"),
                 "fp16.hysteresis: 2 contradicts hysteresis: 3 in line 10");
  CHECK_CONTAINS(error("precision: fp16\nloss_scale: 128\ndynamic_loss_scale: true\n"),
                 "dynamic_loss_scale: true contradicts loss_scale: 128 (x.yml:10:1)");
  CHECK_CONTAINS(error("precision: fp16\ndynamic_loss_scale: false\n"),
                 "dynamic_loss_scale: false requires fp16.loss_scale");
  CHECK_CONTAINS(error("fp16: {enabled: true, initial_scale_power: 3, min_loss_scale: 16}\n"),
                 "fp16.min_loss_scale 16 is above the first loss scale 2^3 = 8");
  CHECK_CONTAINS(error("fp16: {enabled: true, hysteresis: 0}\n"), "must be ≥ 1, is 0");
  CHECK_CONTAINS(error("fp16: {loss_scale_window: 0}\n"), "must be ≥ 1, is 0");
  CHECK_CONTAINS(error("fp16: {loss_scale: -1}\n"), "fp16.loss_scale must be ≥ 0");
  CHECK_CONTAINS(error("fp16: {min_loss_scale: 0}\n"), "fp16.min_loss_scale must be > 0");
  CHECK_CONTAINS(error("fp16: {initial_scale_power: 127}\n"), "must be ≥ 0 and ≤ 126");
}

BOOST_AUTO_TEST_CASE(settings_of_another_precision) {
  // All defaults or switched off, as in GPT-NeoX's decks.
  const std::string usual =
      "loss_scale: 0, initial_scale_power: 12, loss_scale_window: 1000, hysteresis: 2, "
      "min_loss_scale: 1}\n";
  silent("fp16: {enabled: false, " + usual);
  silent("fp16: {enabled: true, type: bfloat16, " + usual);
  silent("precision: bfloat16\nfp16: {" + usual);
  silent("fp16: {enabled: false, hysteresis: 7, fp16_master_weights_and_grads: true}\n");
  BOOST_CHECK_EQUAL(
      warning("bf16: {enabled: true}\nhysteresis: 7\nfp16: {loss_scale: 128}\n"),
      "without effect in this deck: fp16.loss_scale: 128, hysteresis: 7 (for fp16 only)");
  BOOST_CHECK_EQUAL(
      warning("precision: fp16\nbf16: {bf16_master_weights_and_grads: true}\n"),
      "without effect in this deck: bf16.bf16_master_weights_and_grads: true (for bf16 only)");
  BOOST_CHECK_EQUAL(
      warning("fp16: {enabled: true, loss_scale: 128, loss_scale_window: 7}\n"),
      "without effect in this deck: fp16.loss_scale_window: 7 (fp16.loss_scale is fixed)");
}

BOOST_AUTO_TEST_CASE(recomputation) {
  const auto of = [](const std::string& lines) { return silent(lines).recompute; };
  const std::string on = "checkpoint-activations: true\n";
  BOOST_CHECK((of(on) == RecomputeConfig{Kind::full, 1, false, false}));
  BOOST_CHECK((of(on + "recompute_granularity: full\ncheckpoint-num-layers: 2\n"
                       "partition-activations: true\ncheckpoint_in_cpu: true\n") ==
               RecomputeConfig{Kind::full, 2, true, true}));
  BOOST_CHECK(
      (of(on + "activation_checkpointing: {partition_activations: true, "
               "cpu_checkpointing: true}\n") == RecomputeConfig{Kind::full, 1, true, true}));
  BOOST_CHECK(of(on + "recompute_granularity: selective\n").kind == Kind::selective);
  BOOST_CHECK(of("checkpoint_activations: false\ncheckpoint_num_layers: 4\n").kind ==
              Kind::none);
  CHECK_CONTAINS(error(on + "recompute_granularity: some\n"), "one of full, selective");
  CHECK_CONTAINS(error(on + "checkpoint_num_layers: 0\n"), "must be ≥ 1");
  CHECK_CONTAINS(error(on + "partition_activations: true\n"
                            "activation_checkpointing: {partition_activations: false}\n"),
                 "activation_checkpointing.partition_activations: false contradicts "
                 "partition_activations: true in line 10");
}

BOOST_AUTO_TEST_CASE(settings_of_recomputation_without_it) {
  BOOST_CHECK_EQUAL(
      warning("partition_activations: true\ncheckpoint_num_layers: 2\n"
              "recompute_granularity: selective\nactivation_checkpointing: {cpu_checkpointing: "
              "true}\n"),
      "without effect in this deck: recompute_granularity: selective, checkpoint_num_layers: "
      "2, "
      "partition_activations: true, activation_checkpointing.cpu_checkpointing: true (for "
      "checkpoint_activations: true)");
  BOOST_CHECK_EQUAL(warning("checkpoint_activations: true\nrecompute_granularity: selective\n"
                            "checkpoint_num_layers: 2\n"),
                    "without effect in this deck: checkpoint_num_layers: 2 (for "
                    "recompute_granularity: full)");
  silent("checkpoint_num_layers: 1\npartition_activations: false\n");
  const std::string ignored = warning(
      "checkpoint_activations: true\nsynchronize_each_layer: true\ncontiguous_checkpointing: "
      "true\nactivation_checkpointing: {number_checkpoints: 4}\n");
  for (const char* name : {"synchronize_each_layer", "contiguous_checkpointing",
                           "activation_checkpointing.number_checkpoints"}) {
    CHECK_CONTAINS(ignored, name);
  }
}

BOOST_AUTO_TEST_CASE(a_neox_deck_of_the_usual_kind_needs_one_line_of_warning) {
  const std::string w = warning(R"("zero_optimization": {
    "stage": 1, "allgather_partitions": True, "allgather_bucket_size": 500000000,
    "overlap_comm": True, "reduce_scatter": True, "reduce_bucket_size": 500000000,
    "contiguous_gradients": True, "cpu_offload": False}
"checkpoint-activations": true
"checkpoint-num-layers": 1
"partition-activations": true
"synchronize-each-layer": true
"fp16": {"fp16": true, "enabled": true, "loss_scale": 0, "loss_scale_window": 1000,
    "initial_scale_power": 12, "hysteresis": 2, "min_loss_scale": 1}
)");
  BOOST_CHECK_EQUAL(w, "ignored, as these keys have no effect here: synchronize_each_layer");
}

BOOST_AUTO_TEST_CASE(what_is_said_of_the_keys) {
  const std::string text = describe_keys();
  CHECK_CONTAINS(text, "integer ≥ 0 and ≤ 3; default 0; also as zero_stage");
  CHECK_CONTAINS(text, "one of fp32, fp16, bfloat16");
  CHECK_CONTAINS(text, "fp16.min_loss_scale");
  CHECK_CONTAINS(text, "one of full, selective; default full");
  CHECK_CONTAINS(text, "also as activation_checkpointing.cpu_checkpointing");
}

BOOST_AUTO_TEST_CASE(what_the_written_deck_says) {
  const std::string text =
      to_yaml(deck("fp16: {enabled: true, fp16_master_weights_and_grads: true}\nzero_stage: 2\n"
                   "checkpoint_activations: true\nrecompute_granularity: selective\n"));
  for (const char* line :
       {"\nprecision: fp16\n", "\n  fp16_master_weights_and_grads: true\n", "\n  stage: 2\n",
        "\n  grad_accum_dtype: fp16\n", "\ncommunication_data_type: fp16\n",
        "\nrecompute_granularity: selective\n", "\n  hysteresis: 2\n"}) {
    CHECK_CONTAINS(text, line);
  }
  CHECK_CONTAINS(to_yaml(deck("bf16: {enabled: true}\n")), "\nprecision: bfloat16\n");
}

BOOST_AUTO_TEST_SUITE_END()
