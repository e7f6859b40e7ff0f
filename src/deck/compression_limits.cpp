// SPDX-License-Identifier: Apache-2.0
// Compressed optimizers by kind of device.
#include "trireme/deck/compression_limits.hpp"

#include "trireme/optim/optimizer_table.hpp"

namespace trireme {

void check_compression(const Deck& deck, DeviceKind kind) {
  const OptimizerRow& row = optimizer_row(deck.optimizer.kind);
  if (!row.compresses || kind != DeviceKind::cuda) return;
  Error error(fmt::format(
      "optimizer.type: {} is for runs on CPUs: signs are packed in host memory. Use the key "
      "device: cpu, or a type that isn't compressed, such as AdamW",
      row.name));
  throw error.set_everywhere();
}

}  // namespace trireme
