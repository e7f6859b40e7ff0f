// SPDX-License-Identifier: Apache-2.0
// When a run saves, and when it ends before its last iteration.
#pragma once

#include <cstdint>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Whether to save after this iteration (from 1 on): multiples (linear) or powers (log) of
/// checkpoint_factor, extra_save_iters, multiples of exit_interval, and the last one. Never
/// without `save`.
[[nodiscard]] bool save_is_due(const DeckSettings& deck, std::int64_t iteration);

/// Whether the deck has the run end after this iteration though train_iters are not done.
[[nodiscard]] bool exit_is_due(const DeckSettings& deck, std::int64_t iteration);

}  // namespace trireme
