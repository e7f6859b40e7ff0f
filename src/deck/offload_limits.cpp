// SPDX-License-Identifier: Apache-2.0
// Offloading by kind of device.
#include "trireme/deck/offload_limits.hpp"

namespace trireme {

using Home = OffloadConfig::Home;

void check_offload(const Deck& deck, DeviceKind kind) {
  if (deck.optimizer.eight_bit && kind == DeviceKind::cuda) {
    Error error(
        "use_bnb_optimizer: true is for runs on CPUs: on a GPU, AdamW's moments have no 8 bits "
        "yet. "
        "Use false, with zero_optimization.stage 1 or more to shard the moments");
    throw error.set_everywhere();
  }
  const Home home = deck.zero.offload.home;
  if (home == Home::device || kind != DeviceKind::cuda) return;
  Error error(fmt::format(
      "zero_optimization.offload_optimizer.device: {} is for runs on CPUs: from a GPU, no "
      "state is offloaded yet. Use device: none with zero_optimization.stage 3 or more ranks, "
      "or the key device: cpu",
      home == Home::host ? "cpu" : "nvme"));
  throw error.set_everywhere();
}

std::string offload_text(const Deck& deck, std::int64_t files, const std::string& engine) {
  const OffloadConfig& offload = deck.zero.offload;
  if (offload.home == Home::device) return {};
  if (offload.home == Home::host) {
    return "offload_optimizer.device cpu changes nothing: CPUs keep the optimizer's state in "
           "host memory";
  }
  if (files == 0) return "this optimizer has no state to keep in files";
  return fmt::format("the optimizer's state in files of {}: {:.1f} MB a rank, {}",
                     offload.nvme_path, static_cast<double>(files) * 1e-6, engine);
}

}  // namespace trireme
