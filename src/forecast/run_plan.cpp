// SPDX-License-Identifier: Apache-2.0
// The dry run: trainers without memory, one for each model part that a rank can hold.
#include "trireme/forecast/run_plan.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "trireme/backend/cuda_workspace.hpp"
#include "trireme/backend/dry.hpp"
#include "trireme/deck/stage_bounds.hpp"
#include "trireme/model/kv_cache.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/optim/optimizer_table.hpp"
#include "trireme/pipeline/simulate.hpp"
#include "trireme/train/trainer.hpp"

#include "checkpoint_plan.hpp"
#include "trained_shares.hpp"

namespace trireme {

namespace {

std::int64_t signed_bytes(std::size_t bytes) { return static_cast<std::int64_t>(bytes); }

constexpr std::int64_t kIteration = 3;  // the first from which layer_keep() may drop layers

/// The first iteration from which the optimizer compresses what it averages over dp, if the run
/// has one.
std::optional<std::int64_t> first_compressed(const Deck& deck, const MeshShape& mesh) {
  const OptimizerConfig& o = deck.optimizer;
  const OptimizerRow& row = optimizer_row(o.kind);
  if (!row.compresses || mesh.dp == 1) return std::nullopt;
  const std::int64_t exact = row.exact_updates(o);
  if (exact >= deck.train_iters) return std::nullopt;
  return exact + 1;
}

/// The first iteration in which each rank takes a step of its own, if the run has one.
std::optional<std::int64_t> first_local(const Deck& deck, const MeshShape& mesh) {
  const OptimizerConfig& o = deck.optimizer;
  const bool has = mesh.dp > 1 && !optimizer_row(o.kind).averages_each_step;
  if (!has || o.var_freeze_step >= deck.train_iters) return std::nullopt;
  return o.var_freeze_step + 1;
}

/// The deck of a run's largest step.
Deck largest_step(Deck deck) {
  const bool drops = deck.layer_drop.enabled;
  stop_growth(deck);
  // A layer that may be dropped divides by its share, in memory of its own. This share is
  // reached at once, and leaves out no layer.
  if (drops) deck.layer_drop = {.enabled = true, .theta = 1 - 1e-12, .gamma = 1e9};
  return deck;
}

/// A rank of a run whose other ranks do not exist.
class DryRank {
 public:
  DryRank(const Deck& deck, const MeshShape& shape, const MeshIndex& at)
      : deck_(largest_step(deck)),
        world_(make_dry_communicator(rank_of(shape, at), shape.size(), others_)),
        mesh_(shape, at, *world_, groups(shape, at)),
        trainer_(exec_, deck_, mesh_, clock_) {
    if (deck.device == Deck::ComputeDevice::cuda) {
      workspace_.emplace(*device_, kCudaWorkspaceBytes);
    }
  }

  [[nodiscard]] const Trainer& trainer() const { return trainer_; }

  /// Runs steps until one takes no more memory than the step before. An evaluation needs no
  /// run: its forward passes have equal sizes and find all their memory.
  [[nodiscard]] StagePlan run() {
    const auto samples =
        deck_.gradient_accumulation_steps * deck_.train_micro_batch_size_per_gpu;
    const std::vector<std::int32_t> tokens(static_cast<std::size_t>(
        trainer_.layout().needs_tokens() ? samples * deck_.model.sample().numbers() : 0));
    const auto run_steps = [&](std::int64_t iteration) {
      MemoryUse before;
      do {
        before = device_->memory();
        data_ = tensor_ = pipeline_ = {};
        (void)trainer_.step(iteration, 0, tokens);
        trainer_.with_evaluated_values([] {});  // may take the moving average
      } while (device_->memory().reserved != before.reserved);
    };
    const auto compressed = first_compressed(deck_, mesh_.shape);
    run_steps(compressed ? std::min(kIteration, *compressed - 1) : kIteration);
    const Traffic data = data_;
    if (compressed) run_steps(*compressed);
    const std::int64_t compressed_bytes = data_.bytes;
    // A local step takes memory for the values that all ranks shared.
    const auto local = first_local(deck_, mesh_.shape);
    if (local && local != compressed) run_steps(*local);
    const Trainer::StateBytes state = trainer_.state_bytes();
    const MemoryUse use = device_->memory();
    StagePlan p;
    p.parameters = trainer_.local_parameters();
    p.used_values = p.parameters * signed_bytes(size_of(deck_.types.compute));
    p.cache_a_token = cache_a_token();
    p.values = signed_bytes(state.values);
    p.gradients = signed_bytes(state.gradients);
    p.optimizer = signed_bytes(state.optimizer);
    p.activations = signed_bytes(use.peak) - p.values - p.gradients - p.optimizer;
    p.tapes = signed_bytes(trainer_.peak_tape_bytes());
    p.kept_on_host = signed_bytes(trainer_.host_bytes());
    p.unused = signed_bytes(use.reserved - use.peak);
    if (trainer_.state_file() != nullptr) p.files = trainer_.state_file()->file_bytes();
    p.reduced = data.elements;
    p.data_traffic = data.bytes;
    p.quantized_traffic = data.coded_bytes;
    p.nearby = data.nearby_elements;
    p.nearby_traffic = data.nearby_bytes;
    if (compressed) p.compressed_traffic = compressed_bytes;
    p.tensor_traffic = tensor_.bytes;
    p.pipeline_traffic = pipeline_.bytes;
    return p;
  }

 private:
  /// Bytes of a token in the cache of this rank's stage, which generates with one chunk.
  [[nodiscard]] std::int64_t cache_a_token() const {
    if (deck_.model.task == Task::image_classification) return 0;
    Deck deck = deck_;
    deck.virtual_pipeline_chunks = 1;
    const auto bounds = stage_bounds(deck);
    const auto part = static_cast<std::size_t>(mesh_.at.pp);
    return signed_bytes(
        KvCache::bytes(deck.types.compute, deck.model, {mesh_.tp.get(), false},
                       {.layers = layers_between(deck, bounds[part], bounds[part + 1]).count,
                        .slots = 1,
                        .max_length = 1}));
  }

  Mesh::Groups groups(const MeshShape& shape, const MeshIndex& at) {
    const bool first = at.pp == 0;
    const bool end = shape.pp > 1 && (first || at.pp == shape.pp - 1);
    return {.dp = make_dry_communicator(at.dp, shape.dp, data_),
            .tp = make_dry_communicator(at.tp, shape.tp, tensor_),
            .pp = make_dry_communicator(at.pp, shape.pp, pipeline_),
            .ends = make_dry_communicator(end && !first ? 1 : 0, end ? 2 : 1, others_),
            .device_world = nullptr};
  }

  const Deck deck_;
  Traffic data_;
  Traffic tensor_;
  Traffic pipeline_;
  Traffic others_;
  std::unique_ptr<Device> device_ = make_dry_device(
      deck_.device == Deck::ComputeDevice::cuda ? DeviceKind::cuda : DeviceKind::cpu);
  std::unique_ptr<Kernels> kernels_ = make_dry_kernels();
  std::unique_ptr<Stream> stream_ = device_->make_stream();
  /// The work space of a GPU's kernels, which exists from the start.
  std::optional<Buffer> workspace_;
  Exec exec_{*device_, *kernels_, *stream_, deck_.seed};
  std::unique_ptr<Communicator> world_;
  Mesh mesh_;
  PhaseClock clock_;
  Trainer trainer_;
};

/// Elements of the output matrix, as many as a token uses of them.
double output_elements(const ModelConfig& m) {
  if (!m.pools_rows()) {
    return static_cast<double>(m.hidden_size * m.vocab_size);
  }
  double elements = 0;
  visit_unit(m, UnitKind::head, [&](const Parameter& p) {
    elements += static_cast<double>(p.global_shape.count());
  });
  return elements / static_cast<double>(m.seq_length);
}

/// Operations a token, by model part.
std::vector<PartCost> part_costs(const Deck& deck) {
  const ModelConfig& m = deck.model;
  const std::vector<double> trained = trained_shares(m);
  const int lowest = first_trained_unit(m);
  const auto units = list_units(m);
  const auto bounds = stage_bounds(deck);
  std::vector<PartCost> costs;
  for (std::size_t part = 0; part + 1 < bounds.size(); ++part) {
    PartCost cost{0, 0};
    for (int u = bounds[part]; u < bounds[part + 1]; ++u) {
      const UnitInfo& unit = units[static_cast<std::size_t>(u)];
      double forward = 0;
      if (unit.kind == UnitKind::layer) {
        forward = 2.0 * static_cast<double>(unit.parameters) +
                  4.0 * static_cast<double>(m.attention_width()) * all_keys(m) /
                      static_cast<double>(m.num_layers);
      } else if (unit.kind == UnitKind::embedding && m.is_vision()) {
        forward = 2.0 * static_cast<double>(m.hidden_size * m.patch_bytes());
      } else if (unit.kind == UnitKind::norm && m.transforms_output()) {
        forward = 2.0 * static_cast<double>(unit.parameters);
      } else if (unit.kind == UnitKind::head) {
        const double passes = 1 + (u > lowest ? 1 : 0) + trained[static_cast<std::size_t>(u)];
        cost.forward += 2.0 * passes * output_elements(m);
      }
      cost.forward += forward;
      if (u >= lowest) {
        cost.backward += (1 + trained[static_cast<std::size_t>(u)]) * forward;
      }
    }
    costs.push_back(cost);
  }
  return costs;
}

using Plans = std::vector<std::vector<PlanStep>>;

/// The position of each step in its stage's plan, by the step's message_tag.
std::vector<std::vector<int>> places_of(const Plans& plans, int chunks) {
  std::vector<std::vector<int>> places;
  for (const auto& steps : plans) {
    std::vector<int>& place = places.emplace_back(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      place[static_cast<std::size_t>(message_tag(steps[i], chunks))] = static_cast<int>(i);
    }
  }
  return places;
}

/// Which model parts have a backward pass, and which send the gradient of their input.
class Gradients {
 public:
  Gradients(const Deck& deck, int stages)
      : bounds_(stage_bounds(deck)), stages_(stages), lowest_(first_trained_unit(deck.model)) {}
  [[nodiscard]] bool has_backward(int stage, int chunk) const {
    return lowest_ < bounds_[part(stage, chunk) + 1];
  }
  /// Whether the step's output leaves the stage.
  [[nodiscard]] bool sends(const PlanStep& step, int stage, int chunks) const {
    const auto to = output_to(step, stage, stages_, chunks);
    return to && to->stage != stage &&
           (step.kind == PlanStep::Kind::forward || lowest_ < bounds_[part(stage, step.chunk)]);
  }

 private:
  [[nodiscard]] std::size_t part(int stage, int chunk) const {
    return static_cast<std::size_t>(model_part(stage, chunk, stages_));
  }

  std::vector<int> bounds_;
  int stages_;
  int lowest_;
};

/// The most messages of a stage that may still be unsent, whatever the timing. A message is
/// surely gone once its receiver's later output has arrived. A part without backward gets
/// no such output, and all of its messages may wait.
std::int64_t most_unsent(const Plans& plans, const std::vector<std::vector<int>>& places,
                         int stage, int chunks, const Gradients& gradients) {
  const auto stages = static_cast<int>(plans.size());
  const auto place = [&](const PlanStep& step, const PipelinePlace& at) {
    const int tag = message_tag({step.kind, step.micro_batch, at.chunk}, chunks);
    return places[static_cast<std::size_t>(at.stage)][static_cast<std::size_t>(tag)];
  };
  // the receiving stage, and the step that needs the message
  std::vector<std::pair<int, int>> outgoing;
  std::size_t most = 0;
  for (const PlanStep& step : plans[static_cast<std::size_t>(stage)]) {
    if (step.kind == PlanStep::Kind::backward && !gradients.has_backward(stage, step.chunk)) {
      continue;
    }
    if (gradients.sends(step, stage, chunks)) {
      const auto to = output_to(step, stage, stages, chunks);
      outgoing.emplace_back(to->stage, place(step, *to));
    }
    most = std::max(most, outgoing.size());
    const auto from = input_from(step, stage, stages, chunks);
    if (!from) continue;
    std::erase_if(outgoing, [&](const auto& message) {
      return message.first == from->stage && message.second <= place(step, *from);
    });
  }
  return static_cast<std::int64_t>(most);
}

/// The forecast of the tp index that needs the most. Ranks with equally many parameters need
/// equally much memory.
StagePlan plan_stage(const Deck& deck, const MeshShape& mesh, int stage,
                     CheckpointShares& shares) {
  StagePlan worst;
  std::map<std::int64_t, StagePlan> known;  // keys: numbers of parameters
  for (int tp = 0; tp < mesh.tp; ++tp) {
    const MeshIndex at{.dp = 0, .tp = tp, .pp = stage};
    DryRank rank(deck, mesh, at);
    const std::int64_t parameters = rank.trainer().local_parameters();
    if (!known.contains(parameters)) known[parameters] = rank.run();
    StagePlan p = known[parameters];
    if (!deck.save.empty()) p.copy = shares.add(at, rank.trainer());
    const bool on_gpu = deck.device == Deck::ComputeDevice::cuda;
    if (p.decisive(on_gpu) > worst.decisive(on_gpu)) worst = p;
  }
  return worst;
}

}  // namespace

void plan_schedule(const Deck& deck, RunPlan& run) {
  const int chunks = deck.virtual_pipeline_chunks;
  const int stages = run.mesh.pp;
  Plans plans;
  for (int stage = 0; stage < stages; ++stage) {
    plans.push_back(plan(deck.pipeline_schedule, stage, stages,
                         static_cast<int>(deck.gradient_accumulation_steps), chunks));
  }
  const Simulation s = simulate(plans, chunks, part_costs(deck));
  TRM_CHECK(s.finished, "{}", s.deadlock);
  run.on_gpu = deck.device == Deck::ComputeDevice::cuda;
  run.idle = s.bubble_fraction;
  run.idle_if_equal = simulate(plans, chunks, PartCost{1, 2}).bubble_fraction;
  const double busy = std::accumulate(s.busy.begin(), s.busy.end(), 0.0);
  const auto places = places_of(plans, chunks);
  const Gradients gradients(deck, stages);
  for (int stage = 0; stage < stages; ++stage) {
    const auto i = static_cast<std::size_t>(stage);
    StagePlan& p = run.stages[i];
    p.in_flight = s.max_in_flight[i];
    p.work = busy > 0 ? s.busy[i] * stages / busy : 1;
    const std::int64_t sends = std::ranges::count_if(
        plans[i], [&](const PlanStep& step) { return gradients.sends(step, stage, chunks); });
    if (sends == 0) continue;
    p.unsent =
        most_unsent(plans, places, stage, chunks, gradients) * (p.pipeline_traffic / sends);
    p.activations += p.unsent;
  }
}

StagePlan plan_rank(const Deck& deck, const MeshShape& mesh, const MeshIndex& at) {
  DryRank rank(deck, mesh, at);
  StagePlan p = rank.run();
  if (!deck.save.empty()) p.copy = checkpoint_copy(deck, rank.trainer());
  return p;
}

/// The dry run takes time for each micro-batch of each layer, and holds a step's tokens.
void require_bounded(const Deck& deck, const MeshShape& mesh) {
  const auto real = [](std::int64_t n) { return static_cast<double>(n); };
  constexpr double kMostTokens = 2.5e8;
  const double tokens = real(deck.gradient_accumulation_steps) *
                        real(deck.train_micro_batch_size_per_gpu) *
                        real(deck.model.sample().numbers());
  TRM_REQUIRE(tokens <= kMostTokens,
              "a rank's step takes {} micro-batches × {} samples × {} tokens; a plan covers "
              "steps of {:.1e} tokens a rank",
              deck.gradient_accumulation_steps, deck.train_micro_batch_size_per_gpu,
              deck.model.sample().inputs, kMostTokens);
  constexpr double kMostPasses = 2e6;
  const double passes = real(deck.model.num_layers) * real(deck.gradient_accumulation_steps);
  TRM_REQUIRE(passes <= kMostPasses,
              "a step takes {} layers × {} micro-batches; a plan covers {:.0e} of them",
              deck.model.num_layers, deck.gradient_accumulation_steps, kMostPasses);
  constexpr double kMostParts = 2e6;
  const double parts = real(mesh.tp) * real(mesh.pp) * real(deck.model.num_layers);
  TRM_REQUIRE(parts <= kMostParts,
              "{} layers on {} stages of {} ranks each are {:.0e} parts; a plan covers {:.0e}",
              deck.model.num_layers, mesh.pp, mesh.tp, parts, kMostParts);
}

RunPlan plan_run(const Deck& deck, int ranks, int ranks_per_node) {
  TRM_REQUIRE(deck.save.empty() || deck.checkpoint_writers_per_node == 0 || ranks_per_node > 0,
              "checkpoint: {{writers_per_node: {}}} requires the number of ranks on a node: "
              "add --ranks-per-node N",
              deck.checkpoint_writers_per_node);
  RunPlan run;
  run.mesh = mesh_shape(deck, ranks);
  require_bounded(deck, run.mesh);
  CheckpointShares shares(deck, run.mesh);
  for (int stage = 0; stage < run.mesh.pp; ++stage) {
    run.stages.push_back(plan_stage(deck, run.mesh, stage, shares));
  }
  if (!deck.save.empty()) run.checkpoint = shares.sum(ranks_per_node);
  plan_schedule(deck, run);
  return run;
}

}  // namespace trireme
