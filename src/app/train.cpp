// SPDX-License-Identifier: Apache-2.0
// `trireme train`: trains a deck's model, with metrics and checkpoints.
#include "train.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/forecast/memory_plan.hpp"
#include "trireme/host/environment.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/record/run_folder.hpp"
#include "trireme/record/train_log.hpp"
#include "trireme/train/trainer.hpp"

#include "check.hpp"
#include "inputs.hpp"
#include "restore.hpp"
#include "save_schedule.hpp"
#include "saves.hpp"
#include "start_screen.hpp"
#include "stop.hpp"

namespace trireme {

namespace {

constexpr int kDone = 0;
constexpr int kStopped = 75;  // EX_TEMPFAIL: start the run again

/// One rank's share of the run.
class TrainRun {
 public:
  /// Rank 0 alone knows what `known` holds.
  TrainRun(const Deck& deck, RunStart& known, const MpiSession& mpi, StartClock& start,
           double process_started)
      : deck_(deck),
        known_(known),
        mpi_(mpi),
        world_(mpi.world()),
        start_(start),
        engine_(start.time("device", [&] { return Engine(deck, mpi); })),
        mesh_(start.time(
            "mesh", [&] { return engine_.mesh(mesh_shape(deck, world_.size()), world_); })),
        ranks_(start.time("hosts", [&] { return gather_facts(engine_, mpi); })),
        plan_(start.time("plan", [&] { return plan_memory(); })),
        clock_(engine_.time_line()),
        trainer_(
            start.time("model", [&] { return Trainer(engine_.exec(), deck_, mesh_, clock_); })),
        stop_requests_({.save = deck.save,
                        .look = world_.rank() == 0,
                        .end_time = batch_end_time(std::getenv, process_started),
                        .margin = deck.checkpoint_time_margin}) {}

  /// Trains, and returns the program's exit code.
  int run() {
    const double gemm_rate = start_.time("rate", [&] {
      return world_.reduce_value(engine_.gemm_rate(world_, 768, 0.03), Reduction::sum);
    });
    start_.time("data", [&] { open_data(); });
    if (world_.rank() == 0) {
      print_start({deck_, engine_, ranks_, plan_, gemm_rate, data_text(*train_data_)});
      write_start_files(deck_, environment_text(ranks_));
    }
    const RunPosition begin =
        start_.time("load", [&] { return restore(deck_, known_.load, world_, trainer_); });
    iteration_ = begin.iteration;
    samples_ = begin.samples;
    start_.time("files", [&] { open_metrics(); });
    if (iteration_ >= deck_.train_iters) {
      log::info("no work left: {} of {} iterations are done", iteration_, deck_.train_iters);
      return kDone;
    }
    prepare_saves();
    print_start_end(deck_, start_);
    log_.emplace(deck_, world_, gemm_rate, iteration_, metrics_ ? &*metrics_ : nullptr);
    loop();
    end_saves();
    if (world_.rank() == 0 && stop_ != StopReason::none) stop_requests_.obeyed();
    if (iteration_ < deck_.train_iters) return stopped();
    if (saves_) restore_stop_signals();  // all is saved: signals may end the rest
    if (const auto loss = evaluate("test", test_data_)) {
      log_->print_evaluation("test", iteration_, *loss);
    }
    log_->report_ranks(engine_.exec().device, mesh_.at);
    if (metrics_) metrics_->finish();
    log_->print_summary();
    return kDone;
  }

 private:
  /// Forecasts memory before any is taken, so that a run that will fail has warned first.
  RunPlan plan_memory() {
    RunPlan plan = plan_start(deck_, engine_, mesh_);
    if (world_.rank() == 0) {
      const std::string trouble = check_memory(plan, ranks_).trouble;
      if (!trouble.empty()) log::warn("{}", trouble);
    }
    return plan;
  }

  /// The first and last stage read data, rank 0 among them; stages between read none.
  void open_data() {
    collectively(world_, [&] {
      if (!trainer_.layout().needs_tokens()) return;
      train_data_ = open_samples(deck_, Part::train, DocumentCheck::none);
      if (deck_.eval_iters == 0) return;
      valid_data_ = open_samples(deck_, Part::valid, DocumentCheck::none);
      test_data_ = open_samples(deck_, Part::test, DocumentCheck::none);
    });
  }

  [[nodiscard]] std::string data_text(const Samples& s) const {
    return fmt::format("{} tokens, {} samples an epoch; {} iterations are {:.2f} epochs",
                       s.tokens(), s.samples_per_epoch(), deck_.train_iters,
                       static_cast<double>(deck_.train_iters * deck_.train_batch_size) /
                           static_cast<double>(s.samples_per_epoch()));
  }

  void open_metrics() {
    collectively(world_, [&] {
      if (world_.rank() != 0 || deck_.run_folder().empty()) return;
      metrics_.emplace(deck_.run_folder() + "/metrics.h5", iteration_,
                       run_attributes(deck_, mesh_.shape));
      metrics_->set_plan(plan_.stages);
    });
  }

  void prepare_saves() {
    if (deck_.save.empty()) {
      log::info("save     no {} kept: the deck sets {}no `save`",
                deck_.run_dir.empty() ? "file is" : "checkpoints are",
                deck_.run_dir.empty() ? "no `run_dir` and " : "");
      return;
    }
    catch_stop_signals();
    const Exec& ex = engine_.exec();
    std::optional<StateHome> home;
    if (engine_.on_gpu()) home.emplace(StateHome{ex.device, ex.stream});
    saves_.emplace(deck_, trainer_.held(!deck_.no_save_optim), home, world_,
                   metrics_ ? &*metrics_ : nullptr, [this] { known_.claim.require(); });
  }

  void loop() {
    std::optional<Prefetch> prefetch;
    const auto first_sample = [this, start = samples_](std::int64_t step) {
      return static_cast<std::uint64_t>(start + step * deck_.train_batch_size);
    };
    if (train_data_) {
      prefetch.emplace(
          *train_data_,
          [this, first_sample](std::int64_t step) {
            return trainer_.layout().runs(first_sample(step));
          },
          0);
    }
    std::optional<Progress> bar;
    if (world_.rank() == 0) {
      bar.emplace("iteration", "", static_cast<double>(deck_.train_iters),
                  static_cast<double>(iteration_));
      if (!bar->on_terminal()) bar.reset();  // the log's lines show progress instead
    }
    clock_.begin_step();
    polled_ = now();
    while (iteration_ < deck_.train_iters && !leaving_) {
      if (log_->traces(iteration_ + 1)) begin_trace();
      std::vector<std::int32_t> tokens;
      if (prefetch) {
        const auto scope = clock_.scope(Phase::data);
        tokens = prefetch->next();
      }
      engine_.profile(deck_, iteration_ + 1);
      trainer_.step(iteration_ + 1, static_cast<std::uint64_t>(samples_), std::move(tokens));
      ++iteration_;
      samples_ += deck_.train_batch_size;
      between_steps();
      if (!bar) continue;
      bar->set_news(log_->news());
      bar->update(static_cast<double>(iteration_));
    }
  }

  /// Starts the traced iteration, whose spans count from now on all ranks. The origin is when
  /// the first rank of a node leaves the barrier, as other ranks may wait for a processor.
  void begin_trace() {
    if (!node_) node_ = mpi_.node();
    engine_.exec().stream.synchronize();
    world_.barrier();
    const double here = now();  // a node's ranks have one clock
    const double first = node_->reduce_value(here, Reduction::min);
    clock_.begin_traced_step(now() - first);
  }

  /// Agrees on requests of all ranks; evaluates and saves; records completed steps.
  void between_steps() {
    std::optional<double> valid;
    bool save = false;
    try {
      if (trainer_.should_collect()) collect();
      poll_ranks();
      leaving_ = stop_ != StopReason::none || exit_is_due(deck_, iteration_);
      save = saves_ && (leaving_ || save_is_due(deck_, iteration_) || saves_->must_repeat());
      if (line_is_due() || evaluation_is_due() || save) collect();
      // Evaluate before the checkpoint: a run resumed from it would not evaluate again.
      if (evaluation_is_due() && stop_ == StopReason::none) {
        clock_.pause();  // evaluations are not part of the step
        valid = evaluate("valid", valid_data_);
        clock_.resume();
        poll_ranks();
        leaving_ = leaving_ || stop_ != StopReason::none;
        save = saves_ && (leaving_ || save);
      }
      if (save) {
        const auto scope = clock_.scope(Phase::checkpoint);
        start_save();
      }
    } catch (const Error& e) {
      if (e.everywhere()) {
        for (auto& result : trainer_.collect()) collected_.push_back(std::move(result));
        clock_.end_step();
        record();
        log_->write_rows();  // users need the steps that led to a loss that is not finite
      }
      throw;
    }
    clock_.end_step();
    record();
    if (line_is_due()) log_->print_line();
    if (valid) log_->print_evaluation("valid", iteration_, *valid);
    if (!save) return;
    log_->write_rows();  // metrics must have every step that a checkpoint has
    log_->record_ranks(engine_.exec().device, mesh_.at);
    if (!deck_.checkpoint_async) {
      const auto scope = clock_.scope(Phase::checkpoint);  // counts for the next step
      saves_->wait();
    }
  }

  void start_save() {
    trainer_.wait_for_values();
    saves_->start(run_state(deck_, mesh_.shape, trainer_, iteration_, samples_, known_.data));
  }

  [[nodiscard]] bool line_is_due() const { return leaving_ || log_->line_is_due(iteration_); }

  /// Collects the results of queued steps. Throws Error if a step halted the run.
  void collect() {
    for (auto& result : trainer_.collect()) collected_.push_back(std::move(result));
    trainer_.report();
  }

  /// Adds collected steps, with their times, to the log and the metrics.
  void record() {
    if (collected_.empty()) return;
    const auto times = clock_.take();
    for (std::size_t i = 0; i < collected_.size(); ++i) {
      const std::int64_t behind = iteration_ - collected_[i].iteration;
      log_->add(samples_ - behind * deck_.train_batch_size, collected_[i],
                i < times.size() ? times[i] : StepTime{});
    }
    collected_.clear();
  }

  /// All ranks agree whether any rank is asked to stop, and whether all are done with a phase
  /// of a save. Collective.
  void poll_ranks() {
    if (!saves_) return;
    longest_apart_ = std::max(longest_apart_, now() - polled_);
    polled_ = now();
    const StopReason mine = stop_requests_.poll(longest_apart_, saves_->longest_seconds());
    std::array<std::int64_t, 2> most{static_cast<std::int64_t>(mine), saves_->busy() ? 1 : 0};
    world_.all_reduce(View(most.data(), DType::i64, Shape{2}), Reduction::max);
    if (most[1] == 0) saves_->advance();
    if (most[0] == 0) return;
    stop_ = static_cast<StopReason>(most[0]);
    log::info("stopping at iteration {}: {}", iteration_, describe(stop_, deck_.save));
  }

  [[nodiscard]] bool evaluation_is_due() const {
    return deck_.eval_interval > 0 && deck_.eval_iters > 0 &&
           iteration_ % deck_.eval_interval == 0;
  }

  /// Waits for the last save, which must succeed because no other save follows.
  void end_saves() {
    if (!saves_) return;
    saves_->wait();
    while (saves_->must_repeat()) {
      start_save();
      saves_->wait();
    }
    const auto& last = saves_->last();
    if (!last || last->failure.empty()) return;
    Error error(fmt::format("the last checkpoint was not saved: {}", last->failure));
    throw error.set_everywhere();
  }

  /// Finishes the metrics. If this fails in a run stopped with a checkpoint, only warn: the run
  /// can be started again.
  void finish_metrics() {
    if (!metrics_) return;
    try {
      metrics_->finish();
    } catch (const Error& e) {
      if (!saves_) throw;
      log::warn("{}", e.what());
    }
  }

  int stopped() {
    log_->report_ranks(engine_.exec().device, mesh_.at);
    finish_metrics();
    log_->print_summary();
    if (!saves_) {
      log::info("stopped  after {} of {} iterations by exit_interval; no checkpoint is kept",
                iteration_, deck_.train_iters);
      return kDone;
    }
    // `load` may be elsewhere: see LoadSource.
    const bool elsewhere = !deck_.load.empty() && !is_within(deck_.load, deck_.save);
    const bool same = elsewhere || (!deck_.load.empty() && is_within(deck_.save, deck_.load));
    log::info("stopped  after {} of {} iterations; to go on, start {}", iteration_,
              deck_.train_iters,
              same ? "this command again" : "again with load: " + deck_.save);
    return kStopped;
  }

  /// Evaluates the mean loss and records it in the metrics; empty without such data.
  /// Collective.
  std::optional<double> evaluate(const std::string& group, const std::optional<Samples>& data) {
    const bool exists = world_.reduce_count(data ? 1 : 0, Reduction::max) != 0;
    if (!exists) return std::nullopt;
    const double loss = trainer_.evaluate(data ? &*data : nullptr, deck_.eval_iters);
    if (metrics_) metrics_->add(group, {iteration_, loss});
    return loss;
  }

  const Deck& deck_;
  RunStart& known_;
  const MpiSession& mpi_;
  Communicator& world_;
  std::unique_ptr<Communicator> node_;  ///< made for the first trace
  StartClock& start_;
  Engine engine_;
  Mesh mesh_;
  std::vector<RankFacts> ranks_;  ///< on rank 0
  RunPlan plan_;                  ///< on rank 0
  PhaseClock clock_;
  Trainer trainer_;
  StopRequests stop_requests_;
  std::optional<Samples> train_data_;
  std::optional<Samples> valid_data_;
  std::optional<Samples> test_data_;
  std::optional<Metrics> metrics_;
  std::optional<Saves> saves_;
  std::optional<TrainLog> log_;
  std::int64_t iteration_ = 0;
  std::int64_t samples_ = 0;
  std::vector<Trainer::StepResult> collected_;  ///< not yet recorded
  double polled_ = 0;                           ///< time of the last agreement in poll_ranks()
  double longest_apart_ = 0;
  StopReason stop_ = StopReason::none;
  bool leaving_ = false;  ///< end before the last iteration
};

}  // namespace

int train(const DeckSource& source, const TrainOptions& options, const MpiSession& mpi,
          StartClock& clock) {
  if (options.check) {
    collectively(mpi.world(), [&] { check_deck(source, mpi.world()); });
    return kDone;
  }
  const double started = seconds_since_1970();
  log::hold();
  log::note(start_mark());
  RunStart begin;
  const Deck deck = clock.time("deck", [&] {
    return load_deck(source, mpi.world(), [&](Deck& d) {
      check_inputs(d, begin);
      keep_log(d);  // open before other ranks add to the file
    });
  });
  if (mpi.world().rank() != 0) keep_log(deck);
  return TrainRun(deck, begin, mpi, clock, started).run();
}

}  // namespace trireme
