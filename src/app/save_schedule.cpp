// SPDX-License-Identifier: Apache-2.0
// Iterations at which a run saves or ends, which depend on the deck alone.
#include "save_schedule.hpp"

#include <algorithm>

namespace trireme {

namespace {

bool multiple(std::int64_t iteration, std::int64_t interval) {
  return interval > 0 && iteration % interval == 0;
}

/// Whether `iteration` is 1, base, base², … rounded down, as GPT-NeoX computes these powers.
/// resolve() has checked that base > 1.
bool power(std::int64_t iteration, double base) {
  constexpr double kMost = 9e18;  // beyond are no iterations
  for (double x = 1; x < kMost; x *= base) {
    const auto whole = static_cast<std::int64_t>(x);
    if (whole >= iteration) return whole == iteration;
  }
  return false;
}

}  // namespace

bool save_is_due(const DeckSettings& deck, std::int64_t iteration) {
  if (deck.save.empty()) return false;
  const bool log = deck.checkpoint_scale == DeckSettings::CheckpointScale::log;
  const double factor = deck.checkpoint_factor;
  if (std::ranges::find(deck.extra_save_iters, iteration) != deck.extra_save_iters.end()) {
    return true;
  }
  if (iteration == 0) return false;
  return (log ? power(iteration, factor)
              : multiple(iteration, static_cast<std::int64_t>(factor))) ||
         multiple(iteration, deck.exit_interval) || iteration == deck.train_iters;
}

bool exit_is_due(const DeckSettings& deck, std::int64_t iteration) {
  return multiple(iteration, deck.exit_interval) && iteration < deck.train_iters;
}

}  // namespace trireme
