// SPDX-License-Identifier: Apache-2.0
// Keys of offloading that belong together.
#include "trireme/optim/optimizer_table.hpp"

#include "fold.hpp"

namespace trireme::deck {
namespace {

using Home = OffloadConfig::Home;

constexpr const char* kDevice = "zero_optimization.offload_optimizer.device";

std::string path_of(const char* name) {
  return fmt::format("zero_optimization.offload_optimizer.{}", name);
}

void fold_device(const Settings& settings, const Draft& draft, OffloadConfig& offload) {
  if (!draft.memory.cpu_offload) return;
  const Setting* device = given(settings, kDevice);
  const Setting* old = given(settings, "zero_optimization.cpu_offload");
  if (device != nullptr && offload.home != Home::host) {
    fail(old->place, "zero_optimization.cpu_offload: true contradicts {}: {} ({})", kDevice,
         device->value.str(), device->place.str());
  }
  offload.home = Home::host;
}

void check_files(const Settings& settings, Deck& deck) {
  const OffloadConfig& offload = deck.zero.offload;
  const Place place = given(settings, kDevice)->place;
  if (offload.nvme_path.empty()) {
    fail(place, "{}: nvme requires {}, a folder of a local disk", kDevice,
         path_of("nvme_path"));
  }
  if (offload.ratio < 1) {
    fail(given(settings, path_of("ratio"))->place,
         "{}: {} keeps a share on a GPU, which device: nvme does not; leave ratio out",
         path_of("ratio"), offload.ratio);
  }
  if (const OptimizerRow& row = optimizer_row(deck.optimizer.kind); row.whole != nullptr) {
    fail(place,
         "{}: nvme does not work with optimizer.type: {}, which needs sums over whole "
         "parameters. Use AdamW, Adam, SGD, Lion, Adagrad or MADGRAD, or device: none",
         kDevice, row.name);
  }
  if (deck.optimizer.eight_bit) {
    fail(place,
         "{}: nvme does not work with use_bnb_optimizer: true, which keeps the moments in "
         "memory "
         "in 8 bits; leave one of them out",
         kDevice);
  }
  if (deck.ema.enabled) {
    fail(place,
         "{}: nvme does not work with ema.enable: true, which reads all masters in memory; "
         "leave ema out, or use device: none",
         kDevice);
  }
  if (deck.checkpoint_writers_per_node > 0) {
    fail(place,
         "{}: nvme contradicts checkpoint.writers_per_node: {}, which copies the state into "
         "memory; leave writers_per_node out",
         kDevice, deck.checkpoint_writers_per_node);
  }
  if (!deck.checkpoint_async) return;
  if (const Setting* async = given(settings, "checkpoint.async"); async != nullptr) {
    fail(async->place,
         "checkpoint.async: true contradicts {}: nvme, since a copy would bring the state back "
         "into memory; use async: false",
         kDevice);
  }
  deck.checkpoint_async = false;
  if (!deck.save.empty()) {
    deck.notes.emplace_back(
        "checkpoints read the optimizer's files while training waits: checkpoint.async is "
        "false");
  }
}

void warn_of_idle_offload(const Settings& settings, const OffloadConfig& offload, Deck& deck) {
  if (offload.home == Home::files) return;
  std::vector<std::string> idle;
  const OffloadConfig usual;
  const auto add = [&](bool changed, const std::string& path) {
    if (changed && given(settings, path) != nullptr) idle.push_back(path);
  };
  add(offload.block_size != usual.block_size, "aio.block_size");
  add(offload.queue_depth != usual.queue_depth, "aio.queue_depth");
  add(offload.thread_count != usual.thread_count, "aio.thread_count");
  add(offload.single_submit != usual.single_submit, "aio.single_submit");
  add(offload.overlap_events != usual.overlap_events, "aio.overlap_events");
  if (offload.home == Home::host) {
    add(offload.nvme_path != usual.nvme_path, path_of("nvme_path"));
  }
  if (idle.empty()) return;
  deck.warnings.push_back(fmt::format("without effect in this deck: {} (for {}: nvme)",
                                      fmt::join(idle, ", "), kDevice));
}

}  // namespace

void fold_offload(const Settings& settings, const Draft& draft, Deck& deck, Faults& faults) {
  OffloadConfig& offload = deck.zero.offload;
  const auto gather = [&](auto f) { faults.gather(Faults::Kind::contradiction, {}, f); };
  gather([&] { fold_device(settings, draft, offload); });
  if (offload.home != Home::device && deck.zero.stage == 0) {
    gather([&] {
      const Setting* device = given(settings, kDevice);
      if (device == nullptr) device = given(settings, "zero_optimization.cpu_offload");
      fail(device->place,
           "offload_optimizer requires zero_optimization.stage 1, 2 or 3, and the stage is 0");
    });
  }
  if (offload.home == Home::files) gather([&] { check_files(settings, deck); });
  warn_of_idle_offload(settings, offload, deck);
}

}  // namespace trireme::deck
