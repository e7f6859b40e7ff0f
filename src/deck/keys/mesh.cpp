// SPDX-License-Identifier: Apache-2.0
// Keys of the mesh of ranks and of the machine that a rank computes on.
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
constexpr Choice kExchanges[] = {
    {"auto", code(Deck::Exchange::automatic)},
    {"nccl", code(Deck::Exchange::nccl)},
    {"staged", code(Deck::Exchange::staged)},
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
     "pipeline stages; 0 and 1: no pipeline",
     {.low = 0, .high = 1e6}},
    {"model_parallel_size", "", [](D d) -> Field { return &d.deck.model_parallel_size; },
     "ranks that share each layer (tensor parallelism)", kMillion},
    {"sequence_parallel", "", [](D d) -> Field { return &d.deck.sequence_parallel; },
     "they share the tokens of norms and dropout too"},
    {"pipe_partition_method", "", [](D d) -> Field { return &d.deck.pipe_partition_method; },
     "uniform, parameters, or type:REGEX: what the stages have alike"},
    {"virtual_pipeline_chunks", "",
     [](D d) -> Field { return &d.deck.virtual_pipeline_chunks; },
     "model chunks on a stage; above 1: interleaved 1F1B", kMillion},
    {"pipeline_schedule", "", [](D d) { return named(d.deck.pipeline_schedule, kSchedules); },
     "order of work"},
    {"device", "", [](D d) { return named(d.deck.device, kDevices); }, "where to compute"},
    {"communication", "", [](D d) { return named(d.deck.communication, kExchanges); },
     "between GPUs: by NCCL, or staged through the host's memory and MPI"},
    {"attention_kernel", "",
     [](D d) { return named(d.deck.attention_kernel, kAttentionKernels); },
     "on GPUs: cuDNN's where it is found and fits, or Trireme's own"},
    {"allow_tf32", "", [](D d) -> Field { return &d.deck.allow_tf32; },
     "on GPUs: products of fp32 may round their factors to 10 bits"},
    {"gemm_autotune", "", [](D d) -> Field { return &d.deck.gemm_autotune; },
     "on GPUs: each product's algorithm is chosen by trial"},
    {"cuda_graphs", "", [](D d) -> Field { return &d.deck.cuda_graphs; },
     "on GPUs: a micro-batch's kernels are queued by two calls"},
    {"profile", "", [](D d) -> Field { return &d.deck.profile; },
     "on GPUs: a CUDA profiler that waits for it records some iterations"},
    {"profile_step_start", "", [](D d) -> Field { return &d.deck.profile_step_start; },
     "the first of them", kFromOne},
    {"profile_step_stop", "", [](D d) -> Field { return &d.deck.profile_step_stop; },
     "the first that is not", kFromOne},
    {"threads_per_rank",
     "",
     [](D d) -> Field { return &d.deck.threads_per_rank; },
     "0: this rank's share of the machine's cores",
     {.low = 0, .high = 4096}},
};

}  // namespace

std::span<const Key> mesh_keys() { return kMeshKeys; }

}  // namespace trireme::deck
