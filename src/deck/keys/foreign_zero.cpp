// SPDX-License-Identifier: Apache-2.0
// Keys of DeepSpeed's ZeRO that set nothing here.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Shown = ForeignKeys::Shown;

const ForeignKey kZero[] = {
    {"load_from_fp32_weights", "true or false", "true", "make masters from saved fp32 values"},
    {"grad_hooks", "true or false", "true", "reduce in hooks of backward"},
    {"elastic_checkpoint", "true or false", "false",
     "load with another number of ranks, as always here"},
    {"ignore_unused_parameters", "true or false", "true", "allow parameters without gradient"},
    {"legacy_stage1", "true or false", "false", "stage 1 of former versions"},
    {"use_multi_rank_bucket_allreduce", "true or false", "true",
     "reduce several ranks' buckets at once"},
    {"allgather_sequential", "true or false", "false", "gather one parameter after another"},
    {"log_trace_cache_warnings", "true or false", "false", "warn of a changed order of layers"},
    {"memory_efficient_linear", "true or false", "true", "keep less in linear layers"},
    {"override_module_apply", "true or false", "true", "gather in Module.apply"},
    {"pipeline_loading_checkpoint", "true or false", "false", "load stage by stage"},
    {"fast_sharding_for_leaf_module", "true or false", "false", "fetch leaf modules at once"},
    {"enable_sanity_checks", "true or false", "false", "check more"},
    {"save_muon_momentum_buffer_in_memory", "true or false", "false",
     "where Muon's momentum is kept"},
    {"stage3_use_all_reduce_for_fetch_params", "true or false", "false", "fetch by all-reduce"},
    {"use_all_reduce_for_fetch_params", "true or false", "false", "fetch by all-reduce"},
    {"stage3_max_reuse_distance", "integer", "1000000000",
     "keep what is used again within so many elements"},
    {"max_reuse_distance", "integer", "1000000000", "stage3_max_reuse_distance"},
    {"stage3_model_persistence_threshold", "integer", "null", "most elements that stay whole"},
    {"model_persistence_threshold", "integer", "null", "stage3_model_persistence_threshold"},
    {"stage3_module_granularity_threshold", "integer", "0",
     "gather modules as a whole above this size"},
    {"module_granularity_threshold", "integer", "0", "stage3_module_granularity_threshold"},
    {"stage3_gather_16bit_weights_on_model_save", "true or false", "false",
     "save whole weights, as always here"},
    {"gather_16bit_weights_on_model_save", "true or false", "false",
     "save whole weights, as always here"},
    {"stage3_gather_fp16_weights_on_model_save", "true or false", "false",
     "save whole weights, as always here"},
    {"gather_fp16_weights_on_model_save", "true or false", "false",
     "save whole weights, as always here"},
    {"leaf_module", "dictionary", "null", "modules to fetch at once"},
};
const ForeignKey kZeroOffloading[] = {
    {"cpu_offload_param", "true or false", "false", "keep values in host memory"},
    {"cpu_offload_params", "true or false", "false", "keep values in host memory"},
    {"zenflow", "dictionary", "null", "update offloaded states later"},
};
const ForeignKey kZeroOffloadingSettings[] = {
    {"cpu_offload_use_pin_memory", "true or false", "false", "pin host memory"},
};
const ForeignKey kZeroOffloading2[] = {
    {"device", "one of none, cpu, nvme", "none", "where values are kept"},
};
const ForeignKey kZeroOffloadingSettings2[] = {
    {"nvme_path", "text", "null", "folder on the disk"},
    {"pin_memory", "true or false", "false", "pin host memory"},
    {"buffer_count", "integer", "5", "buffers"},
    {"buffer_size", "integer", "100000000", "elements of a buffer"},
    {"max_in_cpu", "integer", "1000000000", "elements in host memory"},
};
const ForeignKey kZeroOffloading3[] = {
    {"super_offload", "true or false", "false", "offload for superchips"},
};
const ForeignKey kZeroOffloadingSettings3[] = {
    {"pipeline", "true or false", "false", "pipeline_read and pipeline_write"},
    {"cpuadam_cores_perc", "number", "0.8", "share of cores that update"},
};
const ForeignKey kZeroCompression[] = {
    {"zero_quantized_gradients", "true or false", "false", "reduce quantized gradients"},
    {"zero_quantized_nontrainable_weights", "true or false", "false",
     "keep frozen values quantized"},
    {"zeropp_loco_param", "dictionary", "null", "error feedback of quantized gradients"},
};
const ForeignKey kZeroGroups[] = {
    {"mics_shard_size", "integer", "-1", "ranks of a set of shards"},
};
const ForeignKey kZeroGroupsSettings[] = {
    {"mics_hierarchical_params_gather", "true or false", "false", "gather within nodes first"},
};

const ForeignKeys kZeroForeign[] = {
    {"ZeRO", Origin::deepspeed, "zero_optimization", Standing::no_meaning, "", kZero},
    {"ZeRO, offloading", Origin::deepspeed, "zero_optimization", Standing::not_available,
     "only the optimizer's state can be offloaded: use offload_optimizer, or raise "
     "model_parallel_size",
     kZeroOffloading},
    {"ZeRO, offloading", Origin::deepspeed, "zero_optimization", Standing::no_meaning, "",
     kZeroOffloadingSettings, Shown::never},
    {"ZeRO, offloading", Origin::deepspeed, "zero_optimization.offload_param",
     Standing::not_available,
     "only the optimizer's state can be offloaded: use device: none with offload_optimizer, "
     "or raise model_parallel_size",
     kZeroOffloading2},
    {"ZeRO, offloading", Origin::deepspeed, "zero_optimization.offload_param",
     Standing::no_meaning, "", kZeroOffloadingSettings2, Shown::never},
    {"ZeRO, offloading", Origin::deepspeed, "zero_optimization.offload_optimizer",
     Standing::not_available, "an update uses all cores in any case; leave it out",
     kZeroOffloading3},
    {"ZeRO, offloading", Origin::deepspeed, "zero_optimization.offload_optimizer",
     Standing::no_meaning, "", kZeroOffloadingSettings3, Shown::never},
    {"ZeRO, compression", Origin::deepspeed, "zero_optimization", Standing::not_available,
     "gradients travel in communication_data_type; zero_quantized_weights is for values",
     kZeroCompression},
    {"ZeRO, groups", Origin::deepspeed, "zero_optimization", Standing::not_available,
     "weights are sharded over all data-parallel ranks; zero_hpz_partition_size keeps gathers "
     "within a node",
     kZeroGroups, Shown::each, "0|1"},
    {"ZeRO, groups", Origin::deepspeed, "zero_optimization", Standing::no_meaning, "",
     kZeroGroupsSettings, Shown::never},
};

}  // namespace

std::span<const ForeignKeys> zero_foreign() { return kZeroForeign; }

}  // namespace trireme::deck
