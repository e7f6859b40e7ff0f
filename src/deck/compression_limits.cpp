// SPDX-License-Identifier: Apache-2.0
// Compressed optimizers and gathers by kind of device.
#include "trireme/deck/compression_limits.hpp"

#include "trireme/optim/optimizer_table.hpp"

namespace trireme {

void check_compression(const Deck& deck, DeviceKind kind) {
  if (deck.zero.quantized_weights && kind == DeviceKind::cuda) {
    Error error(
        "zero_optimization.zero_quantized_weights: true is for runs on CPUs: values become "
        "bytes in host memory. Use the key device: cpu, or leave zero_quantized_weights out");
    throw error.set_everywhere();
  }
  const OptimizerRow& row = optimizer_row(deck.optimizer.kind);
  if (!row.compresses || kind != DeviceKind::cuda) return;
  Error error(fmt::format(
      "optimizer.type: {} is for runs on CPUs: signs are packed in host memory. Use the key "
      "device: cpu, or a type that isn't compressed, such as AdamW",
      row.name));
  throw error.set_everywhere();
}

}  // namespace trireme
