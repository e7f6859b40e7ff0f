// SPDX-License-Identifier: Apache-2.0
// Finds the layouts of a deck that fit the memory of a machine's ranks, fastest first.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/forecast/time_plan.hpp"

namespace trireme {

/// "none", "selective" or "full".
[[nodiscard]] std::string_view name_of(RecomputeConfig::Kind kind);

/// What the search varies. The model and the global batch stay the deck's.
struct Layout {
  int dp = 1;
  int tp = 1;
  int pp = 1;
  int chunks = 1;
  std::int64_t micro_batch = 1;
  std::int64_t accumulation = 1;
  int zero_stage = 0;
  bool reduce_once = false;  ///< gradients are reduced once per step
  bool sequence_parallel = false;
  RecomputeConfig::Kind recompute = RecomputeConfig::Kind::none;
};

[[nodiscard]] Layout layout_of(const Deck& deck, const MeshShape& mesh);
/// `deck` with the layout, not resolved again.
[[nodiscard]] Deck with_layout(const Deck& deck, const Layout& layout);
/// The layout's keys as a deck, for a file that follows the user's own decks.
[[nodiscard]] std::string layout_yaml(const Layout& layout);

struct FoundLayout {
  Layout layout;
  TimePlan time;
  std::int64_t memory = 0;  ///< bytes of the fullest rank, on its GPU or else in all
};

struct SearchResult {
  std::vector<FoundLayout> best;  ///< fastest first
  std::int64_t tried = 0;         ///< layouts that fit model and batch
  std::int64_t too_large = 0;     ///< fast layouts that need too much memory
};

/// Tries all dp × tp × pp × chunks × micro-batch × recompute × ZeRO stage × reduction once
/// per step × sequence parallel layouts of `ranks` ranks. The `most` fastest that take at most
/// `device_memory` bytes are returned. Times come from plan_time(); memory comes from dry runs
/// of the first and last stage. `deck` is resolved for some number of ranks, and its vocabulary
/// is known. `progress` is called with texts for people.
[[nodiscard]] SearchResult search_layouts(
    const Deck& deck, int ranks, const Machine& machine, std::int64_t device_memory,
    std::size_t most, const std::function<void(const std::string&)>& progress);

/// Sentences that say why `given` takes longer than `best`, the largest difference first.
[[nodiscard]] std::vector<std::string> explain_difference(const FoundLayout& given,
                                                          const FoundLayout& best);

}  // namespace trireme
