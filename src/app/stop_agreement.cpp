// SPDX-License-Identifier: Apache-2.0
// Agrees between steps on requests to stop, and ends a stopped run.
#include "stop_agreement.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"

#include "exit_codes.hpp"
#include "resume.hpp"

namespace trireme {

StopAgreement::StopAgreement(const Deck& deck, Communicator& world, double process_started)
    : deck_(deck),
      world_(world),
      requests_({.save = deck.save,
                 .look = world.rank() == 0,
                 .end_time = batch_end_time(std::getenv, process_started),
                 .margin = deck.checkpoint_time_margin}) {}

void StopAgreement::agree(std::int64_t iteration, Saves* saves) {
  if (!stoppable()) return;
  longest_apart_ = std::max(longest_apart_, now() - agreed_);
  agreed_ = now();
  std::array<std::int64_t, 2> most{static_cast<std::int64_t>(poll(saves)),
                                   saves != nullptr && saves->busy() ? 1 : 0};
  world_.all_reduce(View(most.data(), DType::i64, Shape{2}), Reduction::max);
  if (saves != nullptr && most[1] == 0) saves->advance();
  if (most[0] == 0) return;
  reason_ = static_cast<StopReason>(most[0]);
  log::info("stopping at iteration {}: {}", iteration, describe(reason_, deck_.save));
}

bool StopAgreement::asked(const Saves* saves) {
  return stoppable() && poll(saves) != StopReason::none;
}

StopReason StopAgreement::poll(const Saves* saves) {
  return requests_.poll(longest_apart_, saves != nullptr ? saves->longest_seconds() : 0);
}

void StopAgreement::report_long_steps(double step_seconds, const Saves* saves) {
  if (reported_ || saves == nullptr || world_.rank() != 0) return;
  const auto kill = mpirun_kill_seconds(std::getenv);
  if (!kill && deck_.stop_grace == 0) return;
  const double grace = deck_.stop_grace > 0 ? deck_.stop_grace : 2 * *kill;
  const double seconds = step_seconds + saves->longest_seconds();
  if (seconds <= grace) return;
  reported_ = true;
  log::info(
      "stop     a step and its save take {:.1f} s, but {}: the step under way is then "
      "given up. {}",
      seconds,
      deck_.stop_grace > 0 ? fmt::format("stop_grace is {} s", grace)
                           : fmt::format("mpirun kills {} s after Ctrl-C or SIGTERM", grace),
      deck_.stop_grace > 0 ? "A larger stop_grace, and a signal sent earlier, lets the step end"
                           : "SIGUSR1 to mpirun lets the step end; so does mpirun --mca "
                             "odls_base_sigkill_timeout SECONDS");
}

int StopAgreement::end(std::int64_t iteration) const {
  if (deck_.save.empty()) {
    log::info("stopped  after {} of {} iterations by {}; no checkpoint is kept", iteration,
              deck_.train_iters, stops() ? describe(reason_, deck_.save) : "exit_interval");
    return stops() ? exit_code_without_checkpoint(reason_) : kDone;
  }
  // `load` may be elsewhere: see LoadSource.
  const bool elsewhere = !deck_.load.empty() && !is_within(deck_.load, deck_.save);
  const bool same = elsewhere || (!deck_.load.empty() && is_within(deck_.save, deck_.load));
  log::info("stopped  after {} of {} iterations; to go on, start {}", iteration,
            deck_.train_iters, same ? "this command again" : "again with load: " + deck_.save);
  return kStopped;
}

}  // namespace trireme
