// SPDX-License-Identifier: Apache-2.0
// What an optimizer that compresses does not go with.
#include "trireme/optim/optimizer_table.hpp"

#include "fold.hpp"

namespace trireme::deck {

void check_compressed_optimizer(const Deck& deck) {
  const OptimizerRow& row = optimizer_row(deck.optimizer.kind);
  if (!row.compresses) return;
  TRM_REQUIRE(
      deck.zero.stage == 0,
      "optimizer.type: {} does not go with zero_optimization.stage {}, as in DeepSpeed: "
      "each rank averages whole momenta. Use stage 0, or AdamW",
      row.name, deck.zero.stage);
  TRM_REQUIRE(deck.types.moments == DType::f32,
              "optimizer.type: {} needs moments in fp32: leave bf16.bf16_optimizer_states out",
              row.name);
  TRM_REQUIRE(row.averages_each_step || deck.types.master == DType::f32,
              "optimizer.type: {} needs masters in fp32, which local steps add to: leave "
              "bf16.bf16_master_weights_and_grads and fp16.fp16_master_weights_and_grads out",
              row.name);
  TRM_REQUIRE(!deck.noise_scale.enabled,
              "log_gradient_noise_scale: true does not go with optimizer.type: {}, which does "
              "not sum gradients over ranks",
              row.name);
}

}  // namespace trireme::deck
