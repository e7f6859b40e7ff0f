// SPDX-License-Identifier: Apache-2.0
// Keys of the mesh of ranks, and of the machine that a rank computes on.
#include "tables.hpp"

namespace trireme::deck {
namespace {

constexpr Choice kSchedules[] = {
    {"1f1b", code(PipelineSchedule::one_f_one_b)},
    {"gpipe", code(PipelineSchedule::gpipe)},
};
constexpr Choice kDevices[] = {
    {"auto", code(DeckSettings::ComputeDevice::automatic)},
    {"cpu", code(DeckSettings::ComputeDevice::cpu)},
    {"cuda", code(Deck::ComputeDevice::cuda)},
};
constexpr Choice kCommunications[] = {
    {"auto", code(Deck::Communication::automatic)},
    {"nccl", code(Deck::Communication::nccl)},
    {"staged", code(Deck::Communication::staged)},
};
constexpr Choice kAttentionKernels[] = {
    {"auto", code(Deck::AttentionKernel::automatic)},
    {"own", code(Deck::AttentionKernel::own)},
    {"cudnn", code(Deck::AttentionKernel::cudnn)},
};

const Key kMeshKeys[] = {
    {"pipe_parallel_size",
     "",
     [](D d) -> Field { return &d.deck.pipe_parallel_size; },
     "number of pipeline stages; 0 or 1: no pipeline",
     {.low = 0, .high = 1e6}},
    {"model_parallel_size", "", [](D d) -> Field { return &d.deck.model_parallel_size; },
     "number of ranks that share each layer (tensor parallelism)", kMillion},
    {"sequence_parallel",
     "",
     [](D d) -> Field { return &d.deck.sequence_parallel; },
     "shard norms and dropout by tokens over the ranks that share each layer",
     {},
     Need::usual,
     Origin::megatron},
    {"pipe_partition_method", "", [](D d) -> Field { return &d.deck.pipe_partition_method; },
     "what every stage gets equally much of: units (uniform), parameters, operations (flops), "
     "or units that match type:REGEX"},
    {"virtual_pipeline_chunks", "",
     [](D d) -> Field { return &d.deck.virtual_pipeline_chunks; },
     "model chunks on each stage; above 1: interleaved 1F1B", kMillion, Need::usual,
     Origin::trireme},
    {"pipeline_schedule",
     "",
     [](D d) { return named(d.deck.pipeline_schedule, kSchedules); },
     "order of forward and backward passes",
     {},
     Need::usual,
     Origin::trireme},
    {"device",
     "",
     [](D d) { return named(d.deck.device, kDevices); },
     "where to compute",
     {},
     Need::usual,
     Origin::trireme},
    {"communication",
     "",
     [](D d) { return named(d.deck.communication, kCommunications); },
     "how GPUs communicate: by NCCL, or staged through host memory and MPI",
     {},
     Need::usual,
     Origin::trireme},
    {"attention_kernel",
     "",
     [](D d) { return named(d.deck.attention_kernel, kAttentionKernels); },
     "attention on GPUs: by cuDNN where possible, or Trireme's own kernels",
     {},
     Need::usual,
     Origin::trireme},
    {"allow_tf32",
     "",
     [](D d) -> Field { return &d.deck.allow_tf32; },
     "on GPUs: fp32 GEMMs may round their inputs to 10 bits",
     {},
     Need::usual,
     Origin::trireme},
    {"gemm_autotune",
     "",
     [](D d) -> Field { return &d.deck.gemm_autotune; },
     "on GPUs: choose each GEMM's algorithm by trial",
     {},
     Need::usual,
     Origin::trireme},
    {"cuda_graphs",
     "",
     [](D d) -> Field { return &d.deck.cuda_graphs; },
     "on GPUs: launch a micro-batch's kernels as CUDA graphs",
     {},
     Need::usual,
     Origin::trireme},
    {"profile", "", [](D d) -> Field { return &d.deck.profile; },
     "on GPUs: let a waiting CUDA profiler record some iterations"},
    {"profile_step_start", "", [](D d) -> Field { return &d.deck.profile_step_start; },
     "first iteration to profile", kFromOne},
    {"profile_step_stop", "", [](D d) -> Field { return &d.deck.profile_step_stop; },
     "iteration before which profiling stops", kFromOne},
    {"threads_per_rank",
     "",
     [](D d) -> Field { return &d.deck.threads_per_rank; },
     "CPU threads of a rank; 0: this rank's share of the machine's cores",
     {.low = 0, .high = 4096},
     Need::usual,
     Origin::trireme},
    {"comm_timeout", "", [](D d) -> Field { return &d.deck.comm_timeout; },
     "seconds that a rank may wait for other ranks before the run ends and says who did not "
     "come; 0: no limit",
     kNotNegative, Need::usual, Origin::trireme},
};

}  // namespace

std::span<const Key> mesh_keys() { return kMeshKeys; }

}  // namespace trireme::deck
