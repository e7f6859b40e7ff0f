// SPDX-License-Identifier: Apache-2.0
// When a run saves, and when a run ends before its last iteration.
#pragma once

#include <cstdint>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Whether to save after this iteration, counted from 1. Iteration 0 stands for the initial
/// weights, and is due only if extra_save_iters names it. Due are multiples (linear) or
/// rounded-down powers (log) of checkpoint_factor, extra_save_iters, multiples of
/// exit_interval, and the last iteration. Always false without `save`.
[[nodiscard]] bool save_is_due(const DeckSettings& deck, std::int64_t iteration);

/// Whether the deck ends the run after this iteration, before train_iters are done.
[[nodiscard]] bool exit_is_due(const DeckSettings& deck, std::int64_t iteration);

}  // namespace trireme
