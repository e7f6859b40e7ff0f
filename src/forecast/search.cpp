// SPDX-License-Identifier: Apache-2.0
// Lists all layouts, ranks them by estimated time, and checks the fastest by dry runs.
#include "trireme/forecast/search.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

#include "trireme/forecast/memory_plan.hpp"
#include "trireme/forecast/run_plan.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/optim/optimizer_table.hpp"

namespace trireme {

namespace {

using Recompute = RecomputeConfig::Kind;

std::vector<int> divisors(std::int64_t n) {
  std::vector<int> all;
  for (std::int64_t d = 1; d <= n; ++d) {
    if (n % d == 0) all.push_back(static_cast<int>(d));
  }
  return all;
}

bool divides(std::int64_t n, std::int64_t d) { return n % d == 0; }

bool heads_fit(const ModelConfig& m, int tp) {
  return divides(m.num_attention_heads, tp) && divides(m.num_kv_heads, tp) &&
         divides(m.mlp_inner(), tp) && m.vocab_size >= tp;
}

/// Meshes and chunks of `ranks` ranks, without batch and memory's levers.
std::vector<Layout> meshes_of(const Deck& deck, int ranks) {
  std::vector<Layout> meshes;
  const ModelConfig& m = deck.model;
  for (const int tp : divisors(ranks)) {
    if (!heads_fit(m, tp)) continue;
    for (const int pp : divisors(ranks / tp)) {
      if (pp > m.num_layers) break;
      const int dp = ranks / tp / pp;
      if (!divides(deck.train_batch_size, dp)) continue;
      for (const int chunks : {1, 2, 4, 8}) {
        if (chunks > 1 && (pp == 1 || m.num_layers < std::int64_t{pp} * chunks)) continue;
        meshes.push_back({.dp = dp, .tp = tp, .pp = pp, .chunks = chunks});
      }
    }
  }
  return meshes;
}

/// How a layout's gradients may be reduced: in each micro-batch, or once per step.
std::vector<bool> reductions(const Layout& l) {
  if (l.zero_stage <= 1 && l.dp > 1 && l.accumulation > 1) return {false, true};
  return {false};
}

/// Adds the layout with each choice of recompute, ZeRO stage and reduction.
void add_levers(const Deck& deck, Layout layout, std::vector<Layout>& to) {
  // Offload requires a ZeRO stage, which one rank along dp may have too. Features of stage 3
  // keep that stage.
  const std::int64_t copies = deck.zero.hpz_partition_size;
  const bool whole_stage = deck.zero.quantized_weights || copies > 1;
  if (copies > 1 && layout.dp % copies != 0) return;
  const int least = deck.zero.offload.home == OffloadConfig::Home::device ? 0 : 1;
  const int first = whole_stage ? 3 : least;
  for (const Recompute kind : {Recompute::none, Recompute::selective, Recompute::full}) {
    layout.recompute = kind;
    const bool shards = layout.dp > 1 && !optimizer_row(deck.optimizer.kind).compresses;
    for (int stage = first; stage <= (shards || whole_stage ? 3 : first); ++stage) {
      layout.zero_stage = stage;
      for (const bool once : reductions(layout)) {
        layout.reduce_once = once;
        to.push_back(layout);
      }
    }
  }
}

/// Whether batches that grow fit micro-batches of a layout.
bool ramp_fits(const Deck& deck, std::int64_t unit) {
  const auto& ramp = deck.rampup_batch_size;
  return ramp.empty() || (divides(ramp.at(0), unit) && divides(ramp.at(1), unit));
}

/// Whether tp can shard the sequences of all steps.
bool sequences_fit(const Deck& deck, std::int64_t micro, int tp) {
  auto lengths = sharded_lengths(deck.curriculum, deck.model.seq_length);
  lengths.push_back(deck.model.seq_length);
  return std::ranges::all_of(lengths, [&](auto n) { return divides(micro * n, tp); });
}

/// All layouts that share a mesh.
void add_layouts(const Deck& deck, Layout layout, std::vector<Layout>& to) {
  const std::int64_t samples = deck.train_batch_size / layout.dp;
  for (std::int64_t micro = 1; micro <= std::min<std::int64_t>(samples, 64); micro *= 2) {
    if (!divides(samples, micro) || !ramp_fits(deck, micro * layout.dp)) continue;
    layout.micro_batch = micro;
    layout.accumulation = samples / micro;
    // Interleaving gains only where micro-batches fill the pipeline.
    if (layout.chunks > 1 && layout.accumulation < layout.pp) continue;
    for (const bool sequence : {false, true}) {
      if (sequence && (layout.tp == 1 || !sequences_fit(deck, micro, layout.tp))) continue;
      layout.sequence_parallel = sequence;
      add_levers(deck, layout, to);
    }
  }
}

MeshShape mesh_of(const Layout& l) { return {l.dp, l.tp, l.pp}; }

/// Arrays that the optimizer has for each matrix of a layer.
double least_arrays(const OptimizerConfig& config) {
  if (config.kind == OptimizerKind::muon) return 1;
  return static_cast<double>(state_arrays(config).size());
}

/// A lower bound of a rank's memory: the state of an average stage, in bytes.
double least_state(const Deck& deck, const Layout& l, std::int64_t parameters) {
  const auto bytes = [](DType t) { return static_cast<double>(size_of(t)); };
  const double n = static_cast<double>(parameters) / l.tp / l.pp;
  const double values = bytes(deck.types.compute) / (l.zero_stage == 3 ? l.dp : 1);
  const bool whole_gradients = l.zero_stage == 0 || l.reduce_once;
  const double gradients = bytes(deck.types.gradient) / (whole_gradients ? 1 : l.dp);
  double update =
      least_arrays(deck.optimizer) * bytes_of_state(deck.optimizer, deck.types.moments);
  if (deck.types.master != deck.types.compute) update += bytes(deck.types.master);
  if (deck.zero.offload.home == OffloadConfig::Home::files) update = 0;
  return n * (values + gradients + update / (l.zero_stage >= 1 ? l.dp : 1));
}

/// Bytes of the fullest rank, on its GPU or else in all, and what the rank needs besides
/// arrays. Dry runs of the first and the last stage count them. Memory stops growing once the
/// pipeline is full, so that a few micro-batches suffice.
std::int64_t memory_of(const Deck& deck, const Layout& l) {
  Deck dry = with_layout(deck, l);
  const std::int64_t enough = 2 * std::int64_t{l.pp} * l.chunks + 2;
  dry.gradient_accumulation_steps = std::min(l.accumulation, enough);
  dry.train_batch_size = dry.gradient_accumulation_steps * l.micro_batch * l.dp;
  RunPlan run;
  run.mesh = mesh_of(l);
  run.on_gpu = deck.device == Deck::ComputeDevice::cuda;
  std::int64_t most = 0;
  for (const int stage : {0, l.pp - 1}) {
    const StagePlan p = plan_rank(dry, run.mesh, {.dp = 0, .tp = 0, .pp = stage});
    // Two messages may wait to be sent.
    const auto message = static_cast<std::int64_t>(size_of(dry.types.compute)) * l.micro_batch *
                         dry.model.seq_length * dry.model.hidden_size;
    most = std::max(most, p.decisive(run.on_gpu) + (l.pp > 1 ? 2 * message : 0));
    if (l.pp == 1) break;
  }
  return most + besides_arrays(dry, run).sum();
}

/// A lower bound of what the first stage's tapes hold. Dry runs of one and two layers measure a
/// layer's tape, once for each size.
class TapeBound {
 public:
  explicit TapeBound(const Deck& deck) : deck_(deck) {}

  [[nodiscard]] double bytes(const Layout& l) {
    const double part = std::floor(static_cast<double>(deck_.model.num_layers) /
                                   (static_cast<double>(l.pp) * l.chunks));
    const auto most = static_cast<double>(l.accumulation * l.chunks);
    const double warm_up = l.chunks == 1 ? l.pp : (l.chunks + 1) * l.pp - 1;
    const bool gpipe = deck_.pipeline_schedule == PipelineSchedule::gpipe;
    return layer(l) * part * (gpipe ? most : std::min(most, warm_up));
  }

 private:
  /// Bytes of a layer's tape of one micro-batch.
  double layer(const Layout& l) {
    const auto key = std::tuple(l.tp, l.micro_batch, l.sequence_parallel, l.recompute);
    const auto [at, fresh] = known_.try_emplace(key, 0);
    if (fresh) at->second = static_cast<double>(tapes(l, 2) - tapes(l, 1));
    return at->second;
  }
  [[nodiscard]] std::int64_t tapes(const Layout& l, std::int64_t layers) const {
    Deck d = with_layout(deck_, l);
    d.model.num_layers = layers;
    d.pipe_parallel_size = 1;
    d.virtual_pipeline_chunks = 1;
    d.gradient_accumulation_steps = 1;
    d.recompute.num_layers = 1;
    d.train_batch_size = l.micro_batch;
    d.save.clear();
    return plan_rank(d, {1, l.tp, 1}, {}).tapes;
  }

  const Deck& deck_;
  std::map<std::tuple<int, std::int64_t, bool, Recompute>, double> known_;
};

std::string_view reductions_in_words(const Layout& l) {
  return l.reduce_once ? "one reduction a step" : "a reduction in each micro-batch";
}

struct Candidate {
  Layout layout;
  double seconds = 0;
};

/// Layouts of equal speed come in the order of how much they change: fewer levers first.
auto preference(const Candidate& c) {
  return std::tuple(c.seconds, c.layout.zero_stage, c.layout.reduce_once, c.layout.recompute,
                    c.layout.tp, c.layout.pp, c.layout.chunks);
}

/// The candidates, fastest first by estimate.
std::vector<Candidate> ranked(const Deck& deck, const std::vector<Layout>& layouts,
                              const Machine& machine, std::int64_t device_memory) {
  const std::int64_t parameters = count_parameters(deck.model);
  std::vector<Candidate> candidates;
  for (const Layout& l : layouts) {
    if (least_state(deck, l, parameters) > static_cast<double>(device_memory)) continue;
    const Deck d = with_layout(deck, l);
    candidates.push_back({l, estimate_time(d, mesh_of(l), machine).step()});
  }
  std::ranges::sort(candidates, {}, preference);
  return candidates;
}

}  // namespace

std::string_view name_of(Recompute kind) {
  switch (kind) {
    case Recompute::none:
      return "none";
    case Recompute::selective:
      return "selective";
    case Recompute::full:
      return "full";
  }
  return "";
}

Layout layout_of(const Deck& deck, const MeshShape& mesh) {
  return {.dp = mesh.dp,
          .tp = mesh.tp,
          .pp = mesh.pp,
          .chunks = deck.virtual_pipeline_chunks,
          .micro_batch = deck.train_micro_batch_size_per_gpu,
          .accumulation = deck.gradient_accumulation_steps,
          .zero_stage = deck.zero.stage,
          .reduce_once = deck.zero.reduce_once_per_step,
          .sequence_parallel = deck.sequence_parallel,
          .recompute = deck.recompute.kind};
}

Deck with_layout(const Deck& deck, const Layout& l) {
  Deck d = deck;
  d.model_parallel_size = l.tp;
  d.pipe_parallel_size = l.pp;
  d.virtual_pipeline_chunks = l.chunks;
  d.train_micro_batch_size_per_gpu = l.micro_batch;
  d.gradient_accumulation_steps = l.accumulation;
  d.zero.stage = l.zero_stage;
  d.zero.reduce_once_per_step = l.reduce_once;
  d.sequence_parallel = l.sequence_parallel;
  d.recompute.kind = l.recompute;
  if (l.recompute != Recompute::full) {
    d.recompute.partition = false;
    d.recompute.in_host_memory = false;
  }
  return d;
}

std::string layout_yaml(const Layout& l) {
  std::string text = fmt::format(
      "model_parallel_size: {}\npipe_parallel_size: {}\nvirtual_pipeline_chunks: {}\n"
      "sequence_parallel: {}\ntrain_micro_batch_size_per_gpu: {}\n"
      "gradient_accumulation_steps: {}\nzero_optimization: {{stage: {}, "
      "reduce_once_per_step: {}}}\n",
      l.tp, l.pp, l.chunks, l.sequence_parallel, l.micro_batch, l.accumulation, l.zero_stage,
      l.reduce_once);
  text += l.recompute == Recompute::none
              ? "checkpoint_activations: false\n"
              : fmt::format("checkpoint_activations: true\nrecompute_granularity: {}\n",
                            name_of(l.recompute));
  return text;
}

SearchResult search_layouts(const Deck& deck, int ranks, const Machine& machine,
                            std::int64_t device_memory, std::size_t most,
                            const std::function<void(const std::string&)>& progress) {
  std::vector<Layout> layouts;
  for (const Layout& mesh : meshes_of(deck, ranks)) add_layouts(deck, mesh, layouts);
  SearchResult result;
  result.tried = static_cast<std::int64_t>(layouts.size());
  progress(fmt::format("{} layouts fit the model and the batch", layouts.size()));
  const auto candidates = ranked(deck, layouts, machine, device_memory);
  progress(fmt::format("{} of them may fit the memory", candidates.size()));
  // Estimates and simulations differ by less than this, so that no better layout is missed.
  constexpr double kSlack = 1.1;
  const std::int64_t parameters = count_parameters(deck.model);
  TapeBound tapes(deck);
  for (const Candidate& c : candidates) {
    const bool enough = result.best.size() >= most;
    if (enough && c.seconds > kSlack * result.best[most - 1].time.step()) break;
    if (least_state(deck, c.layout, parameters) + tapes.bytes(c.layout) >
        static_cast<double>(device_memory)) {
      ++result.too_large;
      continue;
    }
    const Deck d = with_layout(deck, c.layout);
    const TimePlan time = plan_time(d, mesh_of(c.layout), machine);
    if (enough && time.step() >= result.best[most - 1].time.step()) continue;
    const std::int64_t memory = memory_of(deck, c.layout);
    if (memory > device_memory) {
      ++result.too_large;
      continue;
    }
    const FoundLayout found{c.layout, time, memory};
    const auto at = std::ranges::upper_bound(
        result.best, time.step(), {}, [](const FoundLayout& f) { return f.time.step(); });
    result.best.insert(at, found);
    if (result.best.size() > most) result.best.pop_back();
  }
  return result;
}

std::vector<std::string> explain_difference(const FoundLayout& given, const FoundLayout& best) {
  struct TimeShare {
    double more;
    std::string text;
  };
  const TimePlan& g = given.time;
  const TimePlan& b = best.time;
  const Layout& x = given.layout;
  const Layout& y = best.layout;
  std::vector<TimeShare> parts = {
      {g.compute - b.compute,
       x.recompute == y.recompute
           ? fmt::format("the busiest stage computes longer: layers are shared less evenly, or "
                         "micro-batches of {} instead of {} samples start more operations",
                         x.micro_batch, y.micro_batch)
           : fmt::format("backward recomputes activations ({} instead of {})",
                         name_of(x.recompute), name_of(y.recompute))},
      {g.tensor - b.tensor,
       fmt::format("ranks of tp wait for each other (tp {} instead of {})", x.tp, y.tp)},
      {g.data - b.data,
       fmt::format("collectives over dp take longer: dp {}, ZeRO stage {}, {} micro-batches, "
                   "{}; the best has {}, {}, {}, {}",
                   x.dp, x.zero_stage, x.accumulation, reductions_in_words(x), y.dp,
                   y.zero_stage, y.accumulation, reductions_in_words(y))},
      {g.pipeline - b.pipeline,
       fmt::format(
           "stages wait longer: pp {}, {} micro-batches, {} chunks; the best has {}, {}, {}",
           x.pp, x.accumulation, x.chunks, y.pp, y.accumulation, y.chunks)},
      {g.optimizer - b.optimizer, "a rank updates more elements"}};
  std::ranges::sort(parts, std::greater(), &TimeShare::more);
  std::vector<std::string> lines;
  for (const TimeShare& p : parts) {
    if (p.more > 0.005 * g.step()) {
      lines.push_back(fmt::format("{:+.3g} s: {}", p.more, p.text));
    }
  }
  return lines;
}

}  // namespace trireme
