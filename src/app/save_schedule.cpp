// SPDX-License-Identifier: Apache-2.0
// Iterations at which a run saves or ends, which depend on the deck alone.
#include "save_schedule.hpp"

#include <algorithm>

namespace trireme {

namespace {

bool multiple(std::int64_t iteration, std::int64_t interval) {
  return interval > 0 && iteration % interval == 0;
}

/// Whether `iteration` is base, base², …; resolve() has checked that base ≥ 2.
bool power(std::int64_t iteration, std::int64_t base) {
  while (iteration > base && iteration % base == 0) iteration /= base;
  return iteration == base;
}

}  // namespace

bool save_is_due(const DeckSettings& deck, std::int64_t iteration) {
  if (deck.save.empty()) return false;
  const bool log = deck.checkpoint_scale == DeckSettings::CheckpointScale::log;
  const std::int64_t factor = deck.checkpoint_factor;
  return (log ? power(iteration, factor) : multiple(iteration, factor)) ||
         multiple(iteration, deck.exit_interval) || iteration == deck.train_iters ||
         std::ranges::find(deck.extra_save_iters, iteration) != deck.extra_save_iters.end();
}

bool exit_is_due(const DeckSettings& deck, std::int64_t iteration) {
  return multiple(iteration, deck.exit_interval) && iteration < deck.train_iters;
}

}  // namespace trireme
