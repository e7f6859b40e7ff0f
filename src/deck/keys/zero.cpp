// SPDX-License-Identifier: Apache-2.0
// Keys of ZeRO: what is sharded over data-parallel ranks, and how much is gathered ahead.
#include "tables.hpp"

namespace trireme::deck {
namespace {

const Key kZeroKeys[] = {
    {"zero_optimization.stage",
     "zero_stage",
     [](D d) -> Field { return &d.deck.zero.stage; },
     "what is sharded over data-parallel ranks: 1 optimizer state, 2 gradients too, 3 weights "
     "too",
     {.low = 0, .high = 3}},
    {"zero_optimization.overlap_comm", "",
     [](D d) -> Field { return &d.deck.zero.overlap_comm; },
     "overlap communication with computation"},
    {"zero_optimization.reduce_bucket_size", "zero_reduce_bucket_size",
     [](D d) -> Field { return &d.deck.zero.reduce_bucket_size; },
     "most elements in one reduction of gradients", kFromOne},
    {"zero_optimization.allgather_bucket_size", "zero_allgather_bucket_size",
     [](D d) -> Field { return &d.deck.zero.allgather_bucket_size; },
     "most elements in one all-gather of weights", kFromOne},
    {"zero_optimization.stage3_prefetch_bucket_size", "",
     [](D d) -> Field { return &d.deck.zero.stage3_prefetch_bucket_size; },
     "most elements that stage 3 gathers before they are used", kNotNegative},
    {"zero_optimization.stage3_param_persistence_threshold", "",
     [](D d) -> Field { return &d.deck.zero.stage3_param_persistence_threshold; },
     "stage 3 keeps parameters of at most this many elements whole", kNotNegative},
    {"zero_optimization.stage3_max_live_parameters", "",
     [](D d) -> Field { return &d.deck.zero.stage3_max_live_parameters; },
     "most elements that stage 3 keeps gathered at a time", kNotNegative},
    {"zero_optimization.sub_group_size", "",
     [](D d) -> Field { return &d.deck.zero.sub_group_size; }, "most elements in one update",
     kFromOne},
    {"zero_optimization.reduce_once_per_step", "",
     [](D d) -> Field { return &d.deck.zero.reduce_once_per_step; },
     "stages 0 and 1: sum gradients over micro-batches on each rank, and reduce once a step"},
    {"zero_optimization.contiguous_gradients",
     "zero_contiguous_gradients",
     [](D d) -> Field { return &d.memory.contiguous_gradients; },
     "always so",
     {},
     Need::input},
    {"zero_optimization.reduce_scatter",
     "zero_reduce_scatter",
     [](D d) -> Field { return &d.memory.reduce_scatter; },
     "always so",
     {},
     Need::input},
    {"zero_optimization.allgather_partitions",
     "",
     [](D d) -> Field { return &d.memory.allgather_partitions; },
     "always so",
     {},
     Need::input},
    {"zero_optimization.round_robin_gradients",
     "",
     [](D d) -> Field { return &d.memory.round_robin_gradients; },
     "never: the ranks' shards are equal in any case",
     {},
     Need::input},
};

}  // namespace

std::span<const Key> zero_keys() { return kZeroKeys; }

}  // namespace trireme::deck
