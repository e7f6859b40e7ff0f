// SPDX-License-Identifier: Apache-2.0
// The sections of keys, in the order in which a deck is written.
#include "tables.hpp"

namespace trireme::deck {

std::span<const Section> key_sections() {
  static const Section kSections[] = {
      {"Model", model_keys()},
      {"Mesh and machine", mesh_keys()},
      {"Batch", batch_keys()},
      {"Optimizer and learning rate", optimizer_keys()},
      {"ZeRO", zero_keys()},
      {"Precision", precision_keys()},
      {"Recomputation", recompute_keys()},
      {"Run", run_keys()},
      {"Checkpoints", checkpoint_keys()},
      {"Data", data_keys()},
  };
  return kSections;
}

}  // namespace trireme::deck
