// SPDX-License-Identifier: Apache-2.0
// `trireme train`: from a deck to metrics and checkpoints.
#include <cmath>
#include <optional>
#include <unistd.h>

#include "trireme/app/progress.hpp"
#include "trireme/checkpoint/store.hpp"
#include "trireme/core/log.hpp"

#include "metrics.hpp"
#include "run.hpp"
#include "train_inputs.hpp"
#include "trainer.hpp"

namespace trireme {

namespace {

/// The run of one rank.
class TrainRun {
 public:
  TrainRun(const Deck& deck, const MpiSession& mpi)
      : deck_(deck),
        world_(mpi.world()),
        mesh_(mesh_shape(deck, world_.size()), world_),
        engine_(deck, mpi),
        trainer_(engine_.exec(), deck_, mesh_, clock_) {}

  void run() {
    const double mine = engine_.gemm_rate(world_, 768, 0.03);
    gemm_rate_ = world_.reduce_value(mine, Reduction::sum);
    open_data();
    if (world_.rank() == 0) {
      print_start(deck_, mesh_, engine_, gemm_rate_, describe(*train_data_));
    }
    resume();
    open_metrics();
    if (iteration_ >= deck_.train_iters) {
      log::info("nothing to do: {} of {} iterations are done", iteration_, deck_.train_iters);
      return;
    }
    loop();
    if (const auto loss = evaluate("test", test_data_)) print_evaluation("test", *loss);
    report_ranks();
  }

 private:
  /// The ends of a pipeline read data, rank 0 among them; stages between have none.
  void open_data() {
    std::string problem;
    try {
      if (trainer_.layout().needs_tokens()) {
        train_data_ = open_samples(deck_, Part::train, DocumentCheck::none);
        if (deck_.eval_iters > 0) {
          valid_data_ = open_samples(deck_, Part::valid, DocumentCheck::none);
          test_data_ = open_samples(deck_, Part::test, DocumentCheck::none);
        }
      }
    } catch (const Error& e) {
      problem = e.what();
    }
    world_.agree(problem);
  }

  [[nodiscard]] std::string describe(const Samples& s) const {
    return fmt::format("{} tokens, {} samples an epoch; {} iterations are {:.2f} epochs",
                       s.tokens(), s.samples_per_epoch(), deck_.train_iters,
                       static_cast<double>(deck_.train_iters * deck_.train_batch_size) /
                           static_cast<double>(s.samples_per_epoch()));
  }

  void resume() {
    const std::string folder = world_.broadcast_text(
        world_.rank() == 0 ? checkpoint_to_load(deck_) : std::string(), 0);
    if (folder.empty()) {
      if (!deck_.load.empty()) log::info("resume   no checkpoint in {} yet", deck_.load);
      return;
    }
    std::string problem;
    try {
      CheckpointReader reader(folder);
      const RunState& state = reader.state();
      trainer_.read_state(reader, state.optimizer_steps);
      iteration_ = state.iteration;
      samples_ = state.samples_consumed;
      log::info("resume   {} at iteration {}", folder, iteration_);
    } catch (const Error& e) {
      problem = e.what();
    }
    world_.agree(problem);
  }

  void open_metrics() {
    std::string problem;
    if (world_.rank() == 0 && !deck_.save.empty()) {
      try {
        metrics_.emplace(deck_.save + "/metrics.h5", iteration_, to_yaml(deck_), kVersion,
                         mesh_text(mesh_.shape));
      } catch (const Error& e) {
        problem = e.what();
      }
    }
    world_.agree(problem);
    if (deck_.save.empty()) log::info("save     nothing is kept: the deck sets no `save`");
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
    if (world_.rank() == 0 && isatty(STDERR_FILENO) != 0) {
      bar.emplace("training", "iterations", static_cast<double>(deck_.train_iters),
                  static_cast<double>(iteration_));
    }
    started_ = now();
    started_at_ = iteration_;
    while (iteration_ < deck_.train_iters) {
      const double begin = now();
      clock_.reset();
      std::vector<std::int32_t> tokens;
      if (prefetch) {
        const auto scope = clock_.scope(Phase::data);
        tokens = prefetch->next();
      }
      const auto result = step(tokens);
      ++iteration_;
      samples_ += deck_.train_batch_size;
      double seconds = now() - begin;
      // Before the checkpoint: a run that goes on from there would not evaluate again.
      std::optional<double> valid;
      if (evaluation_is_due()) valid = evaluate("valid", valid_data_);
      const bool save = save_is_due();
      if (save) seconds += save_checkpoint();
      record(result, seconds);
      if (save) write_rows();  // a checkpoint must not know of steps that the metrics don't
      if (bar) bar->clear();
      if (log_is_due()) report();
      if (valid) print_evaluation("valid", *valid);
      if (bar) bar->update(static_cast<double>(iteration_));
    }
  }

  [[nodiscard]] Trainer::StepResult step(const std::vector<std::int32_t>& tokens) {
    try {
      return trainer_.step(iteration_ + 1, static_cast<std::uint64_t>(samples_), tokens);
    } catch (const Error& e) {
      if (e.everywhere())
        write_rows();  // the way to a loss that is not finite is what one asks for
      throw;
    }
  }

  [[nodiscard]] bool evaluation_is_due() const {
    return deck_.eval_interval > 0 && iteration_ % deck_.eval_interval == 0;
  }
  [[nodiscard]] bool log_is_due() const {
    return iteration_ % deck_.log_interval == 0 || iteration_ == deck_.train_iters ||
           iteration_ == started_at_ + 1;
  }
  [[nodiscard]] bool save_is_due() const {
    if (deck_.save.empty()) return false;
    const bool interval =
        deck_.checkpoint_factor > 0 && iteration_ % deck_.checkpoint_factor == 0;
    return interval || iteration_ == deck_.train_iters;
  }

  /// The seconds that it took.
  double save_checkpoint() {
    const double begin = now();
    const auto scope = clock_.scope(Phase::checkpoint);
    CheckpointWriter writer(deck_.save, iteration_, world_);
    trainer_.write_state(writer);
    writer.finish({.iteration = iteration_,
                   .samples_consumed = samples_,
                   .optimizer_steps = trainer_.optimizer_steps(),
                   .seed = deck_.seed,
                   .deck = to_yaml(deck_),
                   .version = kVersion,
                   .mesh = mesh_text(mesh_.shape)});
    return now() - begin;
  }

  void record(const Trainer::StepResult& result, double seconds) {
    StepRecord r;
    const auto tokens = static_cast<double>(deck_.train_batch_size * deck_.model.seq_length);
    r.iteration = iteration_;
    r.samples = samples_;
    r.tokens = samples_ * deck_.model.seq_length;
    r.loss = result.loss;
    r.learning_rate = result.lr;
    r.grad_norm = result.gradient_norm;
    r.step_seconds = seconds;
    r.tokens_per_second = tokens / seconds;
    r.tflops_per_rank =
        r.tokens_per_second * flops_per_token(deck_.model) / world_.size() * 1e-12;
    r.phases = clock_.seconds();
    interval_.push_back(r);
  }

  /// The console's line for the steps since the last one, and the file's rows. Collective.
  void report() {
    write_rows();
    double loss = 0;
    double seconds = 0;
    for (const StepRecord& r : interval_) {
      loss += r.loss;
      seconds += r.step_seconds;
    }
    const auto n = static_cast<double>(interval_.size());
    if (world_.rank() == 0) print_line(interval_.back(), loss / n, seconds / n);
    interval_.clear();
    written_ = 0;
  }

  /// The file's rows for those steps of the interval that have none yet. Collective.
  void write_rows() {
    if (written_ == interval_.size()) return;
    std::vector<double> phases;
    for (std::size_t i = written_; i < interval_.size(); ++i) {
      phases.insert(phases.end(), interval_[i].phases.begin(), interval_[i].phases.end());
    }
    world_.all_reduce(
        View(phases.data(), DType::f64, Shape{static_cast<std::int64_t>(phases.size())}),
        Reduction::sum);
    for (auto mean = phases.cbegin(); written_ < interval_.size(); ++written_) {
      StepRecord& r = interval_[written_];
      for (double& p : r.phases) p = *mean++ / world_.size();
      if (metrics_) metrics_->add(r);
    }
    if (metrics_) metrics_->flush();
  }

  void print_line(const StepRecord& last, double loss, double step_seconds) const {
    const double rate =
        static_cast<double>(deck_.train_batch_size * deck_.model.seq_length) / step_seconds;
    const double flops = rate * flops_per_token(deck_.model);
    const double left = (now() - started_) / static_cast<double>(iteration_ - started_at_) *
                        static_cast<double>(deck_.train_iters - iteration_);
    log::info(
        "iteration {:>{}}/{} | loss {:.4f} | lr {:.2e} | grad norm {:.3f} | {:.0f} tokens/s | "
        "{:.3f} TFLOP/s | {:.0f}% of GEMM rate | {} left",
        iteration_, fmt::formatted_size("{}", deck_.train_iters), deck_.train_iters, loss,
        last.learning_rate, last.grad_norm, rate, flops * 1e-12, 100 * flops / gemm_rate_,
        duration_text(left));
  }

  /// The mean loss, also in the metrics; nothing where there is no such data. Collective.
  std::optional<double> evaluate(const std::string& group, const std::optional<Samples>& data) {
    const bool exists = world_.reduce_count(data ? 1 : 0, Reduction::max) != 0;
    if (!exists) return std::nullopt;
    const auto phases = clock_.seconds();
    const double loss = trainer_.evaluate(data ? &*data : nullptr, deck_.eval_iters);
    clock_.reset(phases);
    if (metrics_) metrics_->add(group, {iteration_, loss});
    return loss;
  }

  void print_evaluation(const std::string& group, double loss) const {
    log::info("{:<9} {:>{}}/{} | loss {:.4f} | perplexity {:.4f}", group, iteration_,
              fmt::formatted_size("{}", deck_.train_iters), deck_.train_iters, loss,
              std::exp(loss));
  }

  void report_ranks() {
    const auto lines =
        world_.gather_text(fmt::format("{}\n{}\n{}", host_name(), engine_.exec().device.name(),
                                       peak_process_bytes()),
                           0);
    if (world_.rank() != 0) return;
    std::vector<RankRecord> ranks;
    std::int64_t most = 0;
    for (const std::string& line : lines) {
      const auto a = line.find('\n');
      const auto b = line.find('\n', a + 1);
      ranks.push_back(
          {line.substr(0, a), line.substr(a + 1, b - a - 1), std::stoll(line.substr(b + 1))});
      most = std::max(most, ranks.back().peak_bytes);
    }
    log::info("memory   at most {} MiB a rank", most >> 20U);
    if (!metrics_) return;
    metrics_->set_ranks(ranks);
    log::info("metrics  {}", metrics_->path());
    log::info("saved    {}/global_step{}", deck_.save, iteration_);
  }

  const Deck& deck_;
  Communicator& world_;
  Mesh mesh_;
  Engine engine_;
  PhaseClock clock_;
  Trainer trainer_;
  std::optional<Samples> train_data_;
  std::optional<Samples> valid_data_;
  std::optional<Samples> test_data_;
  std::optional<Metrics> metrics_;
  std::vector<StepRecord> interval_;  ///< steps since the last line of the log
  std::size_t written_ = 0;           ///< of these, in the metrics
  double gemm_rate_ = 0;
  std::int64_t iteration_ = 0;
  std::int64_t samples_ = 0;
  double started_ = 0;
  std::int64_t started_at_ = 0;
};

}  // namespace

void train(const DeckSource& source, const MpiSession& mpi) {
  const Deck deck = load_deck(source, mpi.world(), check_inputs);
  TrainRun(deck, mpi).run();
}

}  // namespace trireme
