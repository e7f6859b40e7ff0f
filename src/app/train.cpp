// SPDX-License-Identifier: Apache-2.0
// `trireme train`: trains a deck's model, with metrics and checkpoints.
#include "train.hpp"

#include <memory>
#include <optional>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/forecast/memory_plan.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/environment.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/record/run_folder.hpp"
#include "trireme/record/train_log.hpp"
#include "trireme/train/trainer.hpp"

#include "check.hpp"
#include "coordinates.hpp"
#include "evaluations.hpp"
#include "exit_codes.hpp"
#include "hang.hpp"
#include "inputs.hpp"
#include "restore.hpp"
#include "sample_texts.hpp"
#include "save_schedule.hpp"
#include "saves.hpp"
#include "start_screen.hpp"
#include "step_watch.hpp"
#include "stop.hpp"
#include "stop_agreement.hpp"
#include "train_tokens.hpp"

namespace trireme {

namespace {

/// One rank's share of the run.
class TrainRun {
 public:
  /// Rank 0 alone knows what `known` holds.
  TrainRun(const Deck& deck, RunStart& known, const TrainOptions& options,
           const MpiSession& mpi, StartClock& start, double process_started)
      : deck_(deck),
        known_(known),
        options_(options),
        mpi_(mpi),
        world_(mpi.world()),
        start_(start),
        engine_(start.time("device", [&] { return Engine(deck, mpi); })),
        mesh_(start.time(
            "mesh", [&] { return engine_.mesh(mesh_shape(deck, world_.size()), world_); })),
        ranks_(start.time("hosts", [&] { return gather_facts(engine_, mpi); })),
        plan_(start.time(
            "plan",
            [&] { return plan_checked(deck_, engine_, mesh_, ranks_, options_.force); })),
        clock_(engine_.time_line()),
        trainer_(
            start.time("model", [&] { return Trainer(engine_.exec(), deck_, mesh_, clock_); })),
        stop_(deck, world_, process_started),
        watch_({.asked = [this] { return stop_.asked(saves()); },
                .save_seconds = [this] { return saves_ ? saves_->longest_seconds() : 0.0; },
                .shows = world_.rank() == 0 && !engine_.on_gpu()}),
        evaluations_(deck, engine_.exec(), mesh_, trainer_,
                     [this] { return stop_.asked(saves()); }),
        sample_texts_(deck, engine_.exec(), mesh_, trainer_),
        tokens_(deck, trainer_.layout()) {
    if (stop_.stoppable()) {
      trainer_.watch([this](const PassNews& news) { return watch_(news); });
    }
  }

  /// Trains, and returns the program's exit code.
  int run() {
    const GemmRate rate =
        start_.time("rate", [&] { return engine_.gemm_rate(world_, 768, 0.03); });
    const double gemm_rate = world_.reduce_value(rate.operations, Reduction::sum);
    const double busy = world_.reduce_value(rate.busy, Reduction::sum) / world_.size();
    start_.time("data", [&] { open_data(); });
    if (world_.rank() == 0) {
      print_start({deck_, engine_, ranks_, plan_, gemm_rate, busy, tokens_.text(),
                   trainer_.state_file()});
      write_start_files(deck_, environment_text(ranks_));
    }
    begin_ = start_.time("load", [&] { return restore(deck_, known_.load, world_, trainer_); });
    adopt_tokenizer(known_.tokenizer, begin_.tokenizer);
    iteration_ = last_state_ = begin_.iteration;
    samples_ = begin_.samples;
    use_stop_signals(SignalUse::remembered);  // from here on files change
    start_.time("files", [&] { open_metrics(); });
    const bool trains = iteration_ < deck_.train_iters;
    if (trains) {
      prepare_saves();
      print_start_end(deck_, start_);
    } else {
      log::info("no work left: {} of {} iterations are done; to go on, set train_iters to more",
                iteration_, deck_.train_iters);
    }
    log_.emplace(deck_, world_, gemm_rate, iteration_, metrics());
    stop_.begin();
    // With train_iters: 0 this is the run's work.
    evaluations_.run_missing(iteration_, metrics());
    evaluations_.print(*log_);
    stop_.begin();
    stop_.agree(iteration_, saves());
    if (trains) {
      save_initial_weights();
      if (!stop_.stops()) loop();
      end_saves();
      stop_.obeyed();
    }
    if (iteration_ < deck_.train_iters || (!trains && stop_.stops())) return stopped();
    return finish(trains);
  }

 private:
  /// The first and last stage read data, rank 0 among them; stages between read none.
  void open_data() {
    collectively(world_, [&] {
      if (!trainer_.layout().needs_tokens()) return;
      tokens_.open();
      evaluations_.open();
    });
  }

  void open_metrics() {
    collectively(world_, [&] {
      if (world_.rank() != 0 || deck_.run_folder().empty()) return;
      metrics_.emplace(deck_.run_folder() + "/metrics.h5", iteration_,
                       run_attributes(deck_, mesh_.shape));
      metrics_->set_plan(plan_.stages);
      metrics_->set_schedule(deck_);
      metrics_->add(StartRecord{.iteration = iteration_,
                                .time = seconds_since_1970(),
                                .mesh = mesh_.shape,
                                .train_batch_size = deck_.train_batch_size,
                                .host = host_name(),
                                .revision = kRevision,
                                .changes = begin_.changes});
    });
  }

  [[nodiscard]] Metrics* metrics() { return metrics_ ? &*metrics_ : nullptr; }
  [[nodiscard]] Saves* saves() { return saves_ ? &*saves_ : nullptr; }

  void prepare_saves() {
    if (deck_.save.empty()) {
      log::info("save     no {} kept: the deck sets {}no `save`",
                deck_.run_dir.empty() ? "file is" : "checkpoints are",
                deck_.run_dir.empty() ? "no `run_dir` and " : "");
      return;
    }
    const Exec& ex = engine_.exec();
    std::optional<StateHome> home;
    if (engine_.on_gpu()) home.emplace(StateHome{ex.device, ex.stream});
    saves_.emplace(deck_, trainer_.held(!deck_.no_save_optim), home, world_, metrics(),
                   [this] { known_.claim.require(); });
  }

  void save_initial_weights() {
    if (!saves_ || !begin_.checkpoint.empty() || !save_is_due(deck_, 0)) return;
    start_save();
    if (!deck_.checkpoint_async) saves_->wait();
  }

  void loop() {
    tokens_.start(samples_);
    std::optional<Progress> bar;
    if (world_.rank() == 0) {
      bar.emplace("iteration", "", static_cast<double>(deck_.train_iters),
                  static_cast<double>(iteration_));
      if (!bar->on_terminal()) bar.reset();  // the log's lines show progress instead
    }
    clock_.begin_step();
    stop_.begin();
    for (const auto begin = iteration_; iteration_ < deck_.train_iters && !leaving_;) {
      if (log_->traces(iteration_ + 1)) begin_trace();
      watch_.begin_step(iteration_ + 1);
      const auto first = static_cast<std::uint64_t>(samples_);
      std::vector<std::int32_t> tokens = take_tokens();
      known_.claim.require_not_lost();
      engine_.profile(deck_, iteration_ + 1);
      trainer_.step(iteration_ + 1, first, std::move(tokens));
      watch_.end_step();
      // The first step is longer than others.
      if (iteration_ > begin) stop_.report_long_steps(watch_.step_seconds(), saves());
      ++iteration_;
      samples_before_ = samples_;
      samples_ += trainer_.layout().samples_from(first);
      between_steps();
      if (!bar) continue;
      bar->set_news(log_->news());
      bar->update(static_cast<double>(iteration_));
    }
  }

  /// If the run is asked to stop while the tokens don't come, the step is given up.
  std::vector<std::int32_t> take_tokens() {
    const auto scope = clock_.scope(Phase::data);
    auto next = tokens_.next(samples_, [this] { return stop_.asked(saves()); });
    if (!next.came) watch_.give_up();
    return std::move(next.tokens);
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
    bool save = false;
    try {
      if (trainer_.should_collect()) collect();
      stop_.agree(iteration_, saves());
      leaving_ = stop_.stops() || exit_is_due(deck_, iteration_);
      if (line_is_due() || evaluations_.due(iteration_) || save_is_needed()) collect();
      save = save_is_needed();  // a step may have been given up
      if (iteration_ == deck_.train_iters) trainer_.require_updates();
      // Evaluate before the checkpoint: a run resumed from it would not evaluate again.
      if (evaluations_.due(iteration_) && !stop_.stops()) {
        clock_.pause();  // evaluations are not part of the step
        evaluations_.run_due(iteration_, metrics());
        clock_.resume();
        stop_.begin();  // an evaluation can be given up: no stop needs to wait for one
        stop_.agree(iteration_, saves());
        leaving_ = leaving_ || stop_.stops();
        save = save_is_needed();
      }
      if (save) start_save();
    } catch (const Error& e) {
      if (!e.everywhere()) throw;
      for (auto& result : trainer_.collect()) collected_.push_back(std::move(result));
      clock_.end_step();
      record();
      log_->write_rows();  // users need the steps that led to a loss that is not finite
      throw name_last_good(e, saves(), begin_.checkpoint);
    }
    clock_.end_step();
    record();
    if (line_is_due()) log_->print_line();
    if (!stop_.stops()) sample_texts_.write_if_due(iteration_, clock_, *log_);
    evaluations_.print(*log_);
    if (!save) return;
    log_->write_rows();  // metrics must have every step that a checkpoint has
    log_->record_ranks(engine_.exec().device, mesh_.at);
    if (!deck_.checkpoint_async) {
      const auto scope = clock_.scope(Phase::checkpoint);  // counts for the next step
      saves_->wait();
    }
  }

  [[nodiscard]] bool line_is_due() const { return leaving_ || log_->line_is_due(iteration_); }
  [[nodiscard]] bool save_is_needed() const {
    if (!saves_) return false;
    const bool due = leaving_ || save_is_due(deck_, iteration_);
    return (due && iteration_ > last_state_) || saves_->must_repeat();
  }

  void start_save() {
    const auto scope = clock_.scope(Phase::checkpoint);
    const bool gone = world_.rank() == 0 && start_files_are_gone(deck_);
    if (gone) write_start_files(deck_, environment_text(ranks_));
    saves_->start(trainer_, run_state(deck_, mesh_.shape, trainer_, iteration_, samples_,
                                      known_.data, known_.tokenizer, begin_.began));
    last_state_ = iteration_;
  }

  /// Collects the results of queued steps. Throws Error if a step halted the run.
  void collect() {
    for (auto& result : trainer_.collect()) collected_.push_back(std::move(result));
    trainer_.report();
    if (!trainer_.gave_up() || std::exchange(gave_up_, true)) return;
    log::info("iteration {} is given up, because the run would be ended before it is done",
              iteration_);
    --iteration_;
    samples_ = samples_before_;
  }

  /// Adds collected steps, with their times, to the log and the metrics.
  void record() {
    if (collected_.empty()) return;
    const auto times = clock_.take();
    for (std::size_t i = 0; i < collected_.size(); ++i) {
      log_->add(collected_[i], i < times.size() ? times[i] : StepTime{});
    }
    collected_.clear();
  }

  /// The end of a run whose iterations are all done, unless this was done before.
  int finish(bool trained) {
    if (evaluations_.missing("test", iteration_, metrics())) {
      stop_.begin();
      const auto found = evaluations_.evaluate("test", iteration_, metrics());
      stop_.agree(iteration_, saves());
      if (found) log_->print_evaluation("test", *found);
      if (!found && stop_.stops()) return stopped();
    }
    if (trained) log_->report_ranks(engine_.exec().device, mesh_.at);
    if (metrics_) metrics_->finish();
    if (trained) log_->print_summary();
    return 0;
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

  int stopped() {
    log_->report_ranks(engine_.exec().device, mesh_.at);
    const auto failure = failure_of([this] {
      if (metrics_) metrics_->finish();
    });
    if (failure && !saves_) throw Error(*failure);
    if (failure) log::warn("{}", failure->what());  // the run can be started again
    log_->print_summary();
    return stop_.end(iteration_);
  }

  const Deck& deck_;
  RunStart& known_;
  TrainOptions options_;
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
  StopAgreement stop_;
  StepWatch watch_;
  Evaluations evaluations_;
  SampleTexts sample_texts_;
  TrainTokens tokens_;
  std::optional<Metrics> metrics_;
  std::optional<Saves> saves_;
  std::optional<TrainLog> log_;
  RunPosition begin_;
  std::int64_t iteration_ = 0;
  std::int64_t samples_ = 0;
  std::int64_t samples_before_ = 0;             ///< before the last step
  std::vector<Trainer::StepResult> collected_;  ///< not yet recorded
  bool leaving_ = false;                        ///< end before the last iteration
  bool gave_up_ = false;                        ///< the last step doesn't count
  std::int64_t last_state_ = 0;  ///< iteration of the last state that was saved or loaded
};

}  // namespace

int train(const DeckSource& source, const TrainOptions& options, const MpiSession& mpi,
          StartClock& clock) {
  if (options.check) return check_deck(source, mpi.world());
  const double started = seconds_since_1970();
  log::hold();
  log::note(start_mark());
  RunStart begin;
  SignalReports reports = reports_of(mpi.world().rank());
  catch_stop_signals(reports);
  const Deck deck = clock.time("deck", [&] {
    return load_deck(source, mpi.world(), [&](Deck& d) {
      if (prepares_mup(d)) return begin_mup(d);
      check_inputs(d, begin);
      keep_log(d);  // open before other ranks add to the file
    });
  });
  if (prepares_mup(deck)) return end_mup(deck, mpi);
  if (mpi.world().rank() != 0) keep_log(deck);
  if (deck.run_folder().empty()) {
    restore_stop_signals();  // no work would be lost that is kept otherwise
  } else {
    reports.log = log::file();
    reports.saves = !deck.save.empty();
    reports.grace = deck.stop_grace;
    catch_stop_signals(reports);
  }
  const auto watch = watch_for_hangs(deck, mpi.world());
  return TrainRun(deck, begin, options, mpi, clock, started).run();
}

}  // namespace trireme
