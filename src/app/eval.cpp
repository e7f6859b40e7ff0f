// SPDX-License-Identifier: Apache-2.0
// Opens a model, and lets rank 0 question it.
#include "eval.hpp"

#include <algorithm>
#include <optional>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/tasks/run_task.hpp"
#include "trireme/tasks/text_loss.hpp"

#include "deck_tokenizer.hpp"
#include "eval_data.hpp"
#include "eval_report.hpp"
#include "model_scorer.hpp"
#include "open_model.hpp"

namespace trireme {

namespace {

using Json = nlohmann::ordered_json;

/// What rank 0 asks, and where the answers go.
class Evaluation {
 public:
  /// Reads the tasks and opens the files to write, before any work. Throws Error.
  explicit Evaluation(const EvalOptions& options)
      : options_(options), documents_(options.by_document), samples_(options.samples) {
    for (const std::string& file : options.tasks) {
      tasks_.push_back(tasks::read_task(file, options.task_data));
      require_files(tasks_.back());
    }
    LineFile(options.json).close();
  }

  void run(const OpenedModel& model, tasks::Scorer& scorer, int threads) {
    for (const std::string& path : options_.data) measure(path, model, scorer, threads);
    documents_.close();
    for (const tasks::Task& task : tasks_) ask(task, require_tokenizer(model), scorer);
    samples_.close();
    if (!results_.empty()) {
      for (const std::string& line : task_table(results_)) log::info("{}", line);
    }
  }

  void write(Json object) const {
    if (options_.json.empty()) return;
    object["data"] = data_;
    object["tasks"] = Json::array();
    for (const tasks::TaskResult& result : results_) object["tasks"].push_back(to_json(result));
    replace_text(options_.json, object.dump(2) + "\n", Durability::process);
  }

 private:
  void measure(const std::string& path, const OpenedModel& model, tasks::Scorer& scorer,
               int threads) {
    const auto source =
        open_eval_data(path, options_, model.deck, model.tokenizer.get(), threads);
    const auto own = model.tokenizer == nullptr ? tokenizer_of(*source) : nullptr;
    const Tokenizer* tokenizer = own != nullptr ? own.get() : model.tokenizer.get();
    log::info("data     {}: {} tokens in {} documents", printable(path),
              grouped(source->tokens()), grouped(source->documents()));
    tasks::LossOptions options{.length = options_.length,
                               .stride = options_.stride,
                               .by_document = documents_.is_open(),
                               .skip_ends = options_.skip_ends,
                               .limit = options_.limit};
    if (options.length == 0) {
      options.length = std::min(model.deck.model.seq_length, scorer.length());
    }
    if (options.stride == 0) options.stride = options.length;
    options.on_document = [&](std::int64_t number, const tasks::TextLoss& loss) {
      Json line{{"file", path}, {"document", number}};
      line.update(to_json(loss));
      documents_.write(line);
    };
    std::optional<Progress> progress;
    options.on_progress = [&](std::int64_t done, std::int64_t total) {
      if (!progress) progress.emplace("evaluating", "tokens", static_cast<double>(total));
      progress->update(static_cast<double>(done));
    };
    const tasks::TextLoss loss = measure_loss(*source, tokenizer, scorer, options);
    progress.reset();
    log::info("windows  {} tokens, {} from one to the next{}", options.length, options.stride,
              options.by_document ? ", each document by itself" : "");
    log::info("result   {} | {} tokens", loss_text(loss), grouped(loss.tokens));
    Json object{{"file", path}};
    object.update(to_json(loss));
    object["length"] = options.length;
    object["stride"] = options.stride;
    object["by_document"] = options.by_document;
    object["skip_ends"] = options.skip_ends;
    data_.push_back(std::move(object));
  }

  void ask(const tasks::Task& task, const Tokenizer& tokenizer, tasks::Scorer& scorer) {
    std::optional<Progress> progress;
    tasks::RunOptions options{
        .limit = options_.limit, .shots = options_.shots, .seed = options_.seed};
    if (samples_.is_open()) options.on_sample = [&](const Json& s) { samples_.write(s); };
    options.on_progress = [&](std::size_t done, std::size_t total) {
      if (!progress) progress.emplace(printable(task.name), "", static_cast<double>(total));
      progress->update(static_cast<double>(done));
    };
    results_.push_back(run_task(task, tokenizer, scorer, options));
  }

  const EvalOptions& options_;
  LineFile documents_;
  LineFile samples_;
  std::vector<tasks::Task> tasks_;
  std::vector<tasks::TaskResult> results_;
  Json data_ = Json::array();
};

}  // namespace

int eval(const DeckSource& source, const EvalOptions& options, const MpiSession& mpi) {
  Communicator& world = mpi.world();
  std::optional<Evaluation> evaluation;
  collectively(world, [&] {
    if (world.rank() == 0) evaluation.emplace(options);
  });
  const OpenedModel model = open_model(source, world, options.averages);
  const Engine engine(model.deck, mpi);
  const Mesh mesh = engine.mesh(mesh_shape(model.deck, world.size()), world);
  Inference inference(engine.exec(), model.deck, mesh);
  inference.load(*model.weights);
  ModelScorer scorer(inference, model.tokenizer.get(), world);
  if (world.rank() != 0) {
    scorer.serve();
    return 0;
  }
  log::info("Trireme {} evaluates {}", kVersion, printable(model.folder));
  print_mesh(model.deck, mesh.shape);
  evaluation->run(model, scorer, engine.threads());
  scorer.finish();
  evaluation->write(
      {{"version", kVersion},
       {"model", model.folder},
       {"mesh", {{"dp", mesh.shape.dp}, {"tp", mesh.shape.tp}, {"pp", mesh.shape.pp}}},
       {"seed", options.seed}});
  return 0;
}

}  // namespace trireme
