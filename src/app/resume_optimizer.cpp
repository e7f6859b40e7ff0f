// SPDX-License-Identifier: Apache-2.0
// Holds a checkpoint's optimizer state against the deck's optimizer.
#include "resume_optimizer.hpp"

#include <algorithm>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/optim/optimizer_table.hpp"

namespace trireme {

namespace {

/// OneBitAdam goes on from the moments of Adam, and Adam from those of OneBitAdam and
/// ZeroOneAdam.
bool same_moments(OptimizerKind then, OptimizerKind now) {
  const auto is_adam = [](OptimizerKind k) {
    return k == OptimizerKind::adamw || k == OptimizerKind::adam;
  };
  const bool was_adam =
      then == OptimizerKind::one_bit_adam || then == OptimizerKind::zero_one_adam;
  return then == now || (was_adam && is_adam(now)) ||
         (is_adam(then) && now == OptimizerKind::one_bit_adam);
}

}  // namespace

void check_optimizer(const CheckpointReader& reader, const Deck& made_with, const Deck& deck) {
  if (deck.no_load_optim) return;
  const auto names = reader.names();
  const auto holds = [&](const std::string& start) {
    return std::ranges::any_of(names,
                               [&](const std::string& n) { return n.starts_with(start); });
  };
  std::vector<std::string> arrays = state_kinds(deck.optimizer);
  TRM_REQUIRE(arrays.empty() || holds("optimizer/"),
              "the checkpoint {} holds no optimizer state{}: set no_load_optim: true to start "
              "with a new optimizer state",
              reader.folder(), made_with.no_save_optim ? " (made with no_save_optim)" : "");
  TRM_REQUIRE(same_moments(made_with.optimizer.kind, deck.optimizer.kind),
              "the checkpoint {} was made with another optimizer.type than the deck's: use the "
              "former, or set no_load_optim: true to start with a new optimizer state",
              reader.folder());
  std::erase_if(arrays, [&](const std::string& kind) {
    return holds(fmt::format("optimizer/{}/", kind)) ||
           (kind == "exp_avg" && holds("optimizer/local_exp_avg/"));
  });
  TRM_REQUIRE(arrays.empty(),
              "the checkpoint {} lacks the state {} that the deck's optimizer.params need: use "
              "those of the run, or set no_load_optim: true",
              reader.folder(), fmt::join(arrays, ", "));
}

}  // namespace trireme
