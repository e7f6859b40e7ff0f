// SPDX-License-Identifier: Apache-2.0
// Asks the model in training where its values are.
#include "task_runs.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/inference/inference.hpp"
#include "trireme/tasks/run_task.hpp"

#include "deck_tokenizer.hpp"
#include "model_scorer.hpp"

namespace trireme {

namespace {

/// Takes every question of a task, and gives no answers.
class Rehearsal final : public tasks::Scorer {
 public:
  explicit Rehearsal(const ModelConfig& model) : model_(model) {}
  [[nodiscard]] std::int64_t length() const override { return model_.seq_length; }
  [[nodiscard]] std::int64_t vocab_size() const override { return model_.vocab_size; }
  [[nodiscard]] std::size_t batch() const override { return 1024; }
  [[nodiscard]] std::vector<tasks::TokenScores> score(
      std::span<const tasks::Tokens> sequences) override {
    std::vector<tasks::TokenScores> found;
    for (const tasks::Tokens& sequence : sequences) {
      check(sequence);
      found.push_back({std::vector<float>(sequence.size() - 1),
                       std::vector<bool>(sequence.size() - 1, false)});
    }
    return found;
  }
  [[nodiscard]] std::vector<tasks::Tokens> generate(
      std::span<const tasks::Tokens> prompts, int /*most*/,
      std::span<const std::string> /*until*/) override {
    for (const tasks::Tokens& prompt : prompts) check(prompt);
    return std::vector<tasks::Tokens>(prompts.size());
  }

 private:
  void check(const tasks::Tokens& tokens) const {
    const bool known =
        std::ranges::all_of(tokens, [&](std::int32_t id) { return id < model_.vocab_size; });
    TRM_REQUIRE(known,
                "a question has a token beyond the model's {}: the deck's tokenizer isn't that "
                "of the data",
                model_.vocab_size);
  }

  const ModelConfig& model_;
};

TaskRecord record_of(std::int64_t iteration, const tasks::TaskResult& result) {
  TaskRecord record{.iteration = iteration, .task = result.name, .questions = result.questions};
  for (const tasks::Measured& m : result.measured) {
    const std::string name = name_of(m.metric);
    record.values.emplace_back(name, m.value);
    record.values.emplace_back(name + "_standard_error",
                               m.error.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  return record;
}

}  // namespace

TaskRuns::TaskRuns(const Deck& deck, const Exec& ex, const Mesh& mesh, Trainer& trainer)
    : deck_(deck), ex_(ex), mesh_(mesh), trainer_(trainer) {
  if (deck.eval_tasks_iters == 0) return;
  Communicator& world = *mesh.world;
  collectively(world, [&] {
    if (world.rank() == 0) read(deck);
  });
  const std::string kind = world.broadcast_text(tokenizer_ ? tokenizer_->kind() : "", 0);
  const std::string definition =
      world.broadcast_text(tokenizer_ ? tokenizer_->definition() : "", 0);
  collectively(world, [&] {
    if (!tokenizer_) tokenizer_ = make_tokenizer(kind, definition);
  });
}

void TaskRuns::read(const Deck& deck) {
  for (const std::string& file : deck.eval_tasks) {
    tasks_.push_back(tasks::read_task(file, deck.eval_tasks_data));
    require_files(tasks_.back());
    const auto same = std::ranges::count(tasks_, tasks_.back().name, &tasks::Task::name);
    TRM_REQUIRE(same == 1, "eval_tasks: {}: another file describes a task {} too", file,
                tasks_.back().name);
    const std::string group = Metrics::task_group(tasks_.back().name);
    const auto shared = std::ranges::count(
        tasks_, group, [](const tasks::Task& task) { return Metrics::task_group(task.name); });
    TRM_REQUIRE(shared == 1,
                "eval_tasks: {}: the task {} and another one have the same group in "
                "metrics.h5, {}: give one of them another name",
                file, tasks_.back().name, group);
  }
  tokenizer_ = find_tokenizer(deck);
  TRM_REQUIRE(
      tokenizer_ != nullptr,
      "eval_tasks need a tokenizer, which neither deck nor data name: set vocab_file, or "
      "eval_tasks_iters to 0");
  Rehearsal rehearsal(deck.model);
  for (const tasks::Task& task : tasks_) {
    static_cast<void>(run_task(task, *tokenizer_, rehearsal, {.limit = deck.eval_tasks_limit}));
  }
}

bool TaskRuns::due(std::int64_t iteration) const {
  return deck_.eval_tasks_iters > 0 && iteration % deck_.eval_tasks_iters == 0;
}

bool TaskRuns::missing(std::int64_t iteration, const Metrics& metrics) const {
  return due(iteration) && std::ranges::any_of(tasks_, [&](const tasks::Task& task) {
           return !metrics.has_task(task.name, iteration);
         });
}

std::vector<TaskRecord> TaskRuns::run(std::int64_t iteration, const Metrics* metrics,
                                      const std::function<bool()>& asked) {
  std::vector<TaskRecord> records;
  trainer_.with_evaluated_values([&] {
    Inference inference(ex_, deck_, mesh_, *trainer_.parts().front());
    ModelScorer scorer(inference, tokenizer_.get(), *mesh_.world, asked);
    try {
      if (mesh_.world->rank() == 0) {
        ask(scorer, iteration, metrics, records);
      } else {
        scorer.serve();
      }
    } catch (const ModelScorer::GivenUp&) {
      return;
    } catch (const Error& e) {
      if (!e.everywhere()) throw;
      log::warn("{}; the run goes on, and leaves out this task and those after it", e.what());
    }
  });
  return records;
}

void TaskRuns::ask(ModelScorer& scorer, std::int64_t iteration, const Metrics* metrics,
                   std::vector<TaskRecord>& records) {
  const tasks::RunOptions options{.limit = deck_.eval_tasks_limit};
  for (const tasks::Task& task : tasks_) {
    if (metrics != nullptr && metrics->has_task(task.name, iteration)) continue;
    try {
      records.push_back(record_of(iteration, run_task(task, *tokenizer_, scorer, options)));
    } catch (const Error& e) {
      if (scorer.in_call()) throw;  // other ranks are in this call too
      log::warn("{}; the run goes on, and leaves out the task {}", e.what(), task.name);
    }
  }
  scorer.finish();
}

}  // namespace trireme
