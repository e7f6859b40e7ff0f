// SPDX-License-Identifier: Apache-2.0
// Starts saves and reports their results.
#include "saves.hpp"

#include <algorithm>
#include <utility>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/progress.hpp"

namespace trireme {

namespace {

SaveOptions options_of(const Deck& deck, std::function<void()> require_owner) {
  return {.folder = deck.save,
          .async = deck.checkpoint_async,
          .writers_per_node = deck.checkpoint_writers_per_node,
          .node = host_name(),
          .keep_last = deck.keep_last_n_checkpoints,
          .require_owner = std::move(require_owner)};
}

constexpr double kGuessedRate = 200e6;  // bytes a second of one writer: a slow disk
constexpr int kMostVanished = 3;        // saves in a row, before the run gives up

}  // namespace

RunState run_state(const Deck& deck, const MeshShape& mesh, const Trainer& trainer,
                   std::int64_t iteration, std::int64_t samples, const std::string& data,
                   const KeptTokenizer& tokenizer, const RunBeginning& began) {
  const LossScaleState scale = trainer.loss_scale();
  return {.iteration = iteration,
          .samples_consumed = samples,
          .optimizer_steps = trainer.optimizer_steps(),
          .seed = deck.seed,
          .loss_scale = scale.scale,
          .clean_steps = scale.clean_steps,
          .hysteresis = scale.hysteresis,
          .deck = to_yaml(deck),
          .data = data,
          .began = began,
          .tokenizer_kind = tokenizer.kind,
          .tokenizer_definition = tokenizer.definition,
          .version = kVersion,
          .mesh = mesh_text(mesh)};
}

Saves::Saves(const Deck& deck, const std::vector<HeldPiece>& held,
             const std::optional<StateHome>& home, Communicator& world, Metrics* metrics,
             std::function<void()> require_owner)
    : deck_(deck),
      metrics_(metrics),
      saver_(options_of(deck, std::move(require_owner)), held, home, world) {
  const auto staging =
      world.reduce_count(static_cast<std::int64_t>(saver_.staging_bytes()), Reduction::max);
  log::info("save     {}: {:.1f} MB a checkpoint in {} shard{}, {}", deck.save,
            megabytes(saver_.bytes()), saver_.writers(), saver_.writers() == 1 ? "" : "s",
            deck.checkpoint_async && staging > 0
                ? fmt::format("written behind training from a copy of at most {:.1f} "
                              "MB a rank",
                              megabytes(staging))
                : "while training waits");
}

void Saves::start(Trainer& trainer, const RunState& state) {
  trainer.wait_for_values();
  const std::string bad = trainer.first_bad_state(!deck_.no_save_optim);
  if (!bad.empty()) {
    Error error(
        fmt::format("the state after iteration {} is not finite, and is not saved: {}. A lower "
                    "lr, a longer warmup or a smaller gradient_clipping may help",
                    state.iteration, bad));
    throw error.set_everywhere();
  }
  const double begin = now();
  wait();
  waited_ = now() - begin;
  saver_.start(state);
}

void Saves::advance() { log_report(saver_.advance()); }

void Saves::wait() { log_report(saver_.wait()); }

double Saves::longest_seconds() const {
  if (longest_ > 0) return longest_;
  const auto writers = static_cast<double>(std::max<std::int64_t>(saver_.writers(), 1));
  return static_cast<double>(saver_.bytes()) / writers / kGuessedRate;
}

void Saves::log_report(std::optional<SaveReport> report) {
  if (!report) return;
  report->stall_seconds += std::exchange(waited_, 0);
  last_ = report;
  if (!report->note.empty()) log::warn("{}", report->note);
  const std::string name = checkpoint_name(report->iteration);
  vanished_ = report->vanished ? vanished_ + 1 : 0;
  if (report->failure.empty()) {
    longest_ = std::max(longest_, report->total_seconds);
    last_good_ = fmt::format("{}/{}", deck_.save, name);
    log::info(
        "saved    {}/{} | {:.1f} MB written in {:.2f} s, {:.2f} GB/s | training waited {:.3f} "
        "s | complete after {:.2f} s",
        deck_.save, name, megabytes(report->bytes), report->write_seconds,
        megabytes(report->bytes) * 1e-3 / report->write_seconds, report->stall_seconds,
        report->total_seconds);
    if (metrics_ != nullptr) {
      metrics_->add(SaveRecord{.iteration = report->iteration,
                               .bytes = report->bytes,
                               .stall_seconds = report->stall_seconds,
                               .write_seconds = report->write_seconds,
                               .total_seconds = report->total_seconds});
    }
    return;
  }
  if (report->vanished && vanished_ <= kMostVanished) {
    if (metrics_ == nullptr) return;  // rank 0 reports for all
    log::warn(
        "{} was not saved: {}; the folder was moved or removed and is made again: saving "
        "anew",
        name, report->failure);
    return;
  }
  if (!report->disk_full || deck_.checkpoint_stop_when_full) {
    Error error(fmt::format("{} was not saved: {}", name, report->failure));
    throw error.set_everywhere();
  }
  if (metrics_ == nullptr) return;  // rank 0 reports for all
  log::warn(
      "{} was not saved, the run goes on; checkpoint: {{stop_when_full: true}} would end it; "
      "older checkpoints remain: {}",
      name, report->failure);
}

Error name_last_good(const Error& e, Saves* saves, const std::string& loaded) {
  // Another failure is not reported: the error that ends the run came first.
  if (saves != nullptr) static_cast<void>(failure_of([saves] { saves->wait(); }));
  const bool saved = saves != nullptr && !saves->last_good().empty();
  const std::string& last = saved ? saves->last_good() : loaded;
  if (last.empty()) return e;
  Error named = e.saying(fmt::format("{}; the last good checkpoint is {}", e.what(), last));
  named.set_everywhere();
  return named;
}

}  // namespace trireme
