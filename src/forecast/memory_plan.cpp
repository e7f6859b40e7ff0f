// SPDX-License-Identifier: Apache-2.0
// Joins the forecasts of ranks, and compares them with the machine's memory.
#include "trireme/forecast/memory_plan.hpp"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "trireme/core/figures.hpp"
#include "trireme/data/token_file.hpp"

namespace trireme {

namespace {

/// An open token file: mostly the hash table of HDF5's cache of metadata (measured, HDF5 1.10).
constexpr std::int64_t kOpenFile = std::int64_t{580} << 10U;
constexpr std::int64_t kMebi = std::int64_t{1} << 20U;

/// A process without its arrays: the program, MPI and libraries, one thread. Measured as peaks
/// of processes on one machine (Open MPI 4.1, OpenBLAS 0.3.21), without a token file.
constexpr std::int64_t kProcess = 27 * kMebi;

/// What a GPU holds beside arrays. These are allowances for CUDA 12 and NCCL 2, and were not
/// measured.
constexpr std::int64_t kContext = 600 * kMebi;    // context, kernels, cuBLASLt
constexpr std::int64_t kNcclGroup = 200 * kMebi;  // buffers and channels of one communicator

std::string to_text(const StagePlan& p) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {}", p.parameters, p.values,
                     p.gradients, p.optimizer, p.activations, p.tapes, p.unused, p.copy,
                     p.kept_on_host, p.files, p.reduced, p.data_traffic, p.tensor_traffic,
                     p.pipeline_traffic);
}

StagePlan stage_plan_of(const std::string& text) {
  StagePlan p;
  std::istringstream(text) >> p.parameters >> p.values >> p.gradients >> p.optimizer >>
      p.activations >> p.tapes >> p.unused >> p.copy >> p.kept_on_host >> p.files >>
      p.reduced >> p.data_traffic >> p.tensor_traffic >> p.pipeline_traffic;
  return p;
}

/// A limit that ranks share: a node's memory or a GPU's.
struct Room {
  std::int64_t there = 0;
  std::int64_t planned = 0;
  int ranks = 0;
  bool is_gpu = false;

  /// Above 1 where the memory does not suffice; 0 where the limit is unknown.
  [[nodiscard]] double share() const {
    return there > 0 ? static_cast<double>(planned) / static_cast<double>(there) : 0;
  }
  /// The share from which a run does not start. A GPU's arrays are forecast to the byte, and
  /// its memory does not grow. A host can swap, and other programs of it may end.
  [[nodiscard]] double limit() const { return is_gpu ? 1 : 1.25; }
  [[nodiscard]] std::string users() const {
    return fmt::format("{} rank{}", ranks, ranks == 1 ? "" : "s");
  }
};

MemoryCheck judge(const std::map<std::string, Room>& rooms) {
  // What keeps the run from starting comes before what is merely too small.
  const auto tightness = [](const auto& entry) {
    const double share = entry.second.share();
    return std::pair(share > entry.second.limit(), share);
  };
  const auto tightest = std::ranges::max_element(rooms, {}, tightness);
  const auto& [name, room] = *tightest;
  if (room.share() == 0) return {};
  MemoryCheck check;
  check.tightest = fmt::format("{}: {} of {} for {}", name, size_text(room.planned),
                               size_text(room.there), room.users());
  if (room.share() <= 1) return check;
  check.far_too_much = room.share() > room.limit();
  const auto full =
      std::ranges::count_if(rooms, [](const auto& r) { return r.second.share() > 1; });
  check.trouble = fmt::format(
      "this run is forecast to need {} of {}, but {} are available ({}{}). Use more ranks or "
      "nodes, a higher zero_optimization.stage, checkpoint_activations, or a smaller "
      "micro-batch. `trireme plan` shows what takes the memory",
      size_text(room.planned), name, size_text(room.there), room.users(),
      full > 1 ? fmt::format("; {} more are too small", full - 1) : "");
  return check;
}

}  // namespace

ByteUnit unit_for(std::int64_t most) {
  constexpr double kMiB = 1048576;
  return most < std::int64_t{10} << 30U ? ByteUnit{"MiB", kMiB} : ByteUnit{"GiB", kMiB * 1024};
}

std::string size_text(std::int64_t bytes) {
  const ByteUnit unit = unit_for(bytes);
  return fmt::format("{:.1f} {}", static_cast<double>(bytes) / unit.bytes, unit.name);
}

std::vector<std::string> memory_table(const RunPlan& run, std::size_t most) {
  const std::size_t largest = largest_stage(run);
  const ByteUnit unit = unit_for(run.stages[largest].decisive(run.on_gpu));
  const bool all = run.stages.size() <= most;
  // A GPU's memory and the host's are two, which no figure adds.
  std::vector<std::string> lines = {
      fmt::format("memory   {} of a rank{}; the largest rank of {} is shown", unit.name,
                  run.on_gpu ? ": of its GPU | of the host beside it" : ", all on the host",
                  all ? "each stage" : fmt::format("some of {} stages", run.stages.size())),
      fmt::format("{:>8} {:>15} {:>8} {:>9} {:>9} {:>11} {:>7} ", "stage", "parameters",
                  "values", "gradients", "optimizer", "activations", "spare") +
          (run.on_gpu ? fmt::format("{:>9} | {:>8} {:>8}", "GPU", "copy", "inputs")
                      : fmt::format("{:>8} {:>9}", "copy", "total"))};
  for (std::size_t i = 0; i < run.stages.size(); ++i) {
    if (!all && i != 0 && i != largest && i + 1 != run.stages.size()) continue;
    const StagePlan& s = run.stages[i];
    const auto in = [&](std::int64_t b) { return static_cast<double>(b) / unit.bytes; };
    lines.push_back(
        fmt::format("{:>8} {:>15} {:>8.2f} {:>9.2f} {:>9.2f} {:>11.2f} {:>7.2f} ", i,
                    grouped(s.parameters), in(s.values), in(s.gradients), in(s.optimizer),
                    in(s.activations), in(s.unused)) +
        (run.on_gpu ? fmt::format("{:>9.2f} | {:>8.2f} {:>8.2f}", in(s.reserved()), in(s.copy),
                                  in(s.kept_on_host))
                    : fmt::format("{:>8.2f} {:>9.2f}", in(s.copy), in(s.decisive(false)))));
  }
  return lines;
}

std::size_t largest_stage(const RunPlan& run) {
  const auto largest = std::ranges::max_element(
      run.stages, {}, [&](const StagePlan& s) { return s.decisive(run.on_gpu); });
  return static_cast<std::size_t>(largest - run.stages.begin());
}

std::int64_t most_in_files(const RunPlan& run) {
  std::int64_t most = 0;
  for (const StagePlan& s : run.stages) most = std::max(most, s.files);
  return most;
}

std::string why_stages_wait(const Deck& deck, const RunPlan& run) {
  constexpr double kShown = 5e-4;  // less would be printed as 0.0 %
  if (run.mesh.pp == 1 || run.idle - run.idle_if_equal < kShown) return {};
  const auto slowest = std::ranges::max_element(run.stages, {}, &StagePlan::work);
  return fmt::format(
      "equal stages would wait {:.1f} %, (p − 1) / ({}m + p − 1); stage {} does {:.2f} of the "
      "mean work",
      100 * run.idle_if_equal, deck.virtual_pipeline_chunks > 1 ? "v " : "",
      slowest - run.stages.begin(), slowest->work);
}

Besides besides_arrays(const Deck& deck, const RunPlan& run) {
  if (!run.on_gpu) return {kProcess, 0, 0};
  const MeshShape& mesh = run.mesh;
  // dp, tp, pp, the ends of the pipeline, and the world
  const int groups = (mesh.dp > 1 ? 1 : 0) + (mesh.tp > 1 ? 1 : 0) + (mesh.pp > 1 ? 2 : 0) +
                     (mesh.size() > 1 ? 1 : 0);
  const bool nccl = deck.communication != Deck::Communication::staged;
  return {0, kContext, nccl ? groups * kNcclGroup : 0};
}

RunPlan plan_start(const Deck& deck, const Engine& engine, const Mesh& mesh) {
  Deck planned = deck;
  planned.device = engine.on_gpu() ? Deck::ComputeDevice::cuda : Deck::ComputeDevice::cpu;
  std::string mine;
  if (mesh.at.dp == 0) mine = to_text(plan_rank(planned, mesh.shape, mesh.at));
  const auto texts = mesh.world->gather_text(mine, 0);
  RunPlan run;
  run.mesh = mesh.shape;
  if (mesh.world->rank() != 0) return run;
  run.stages.resize(static_cast<std::size_t>(mesh.shape.pp));
  for (int stage = 0; stage < mesh.shape.pp; ++stage) {
    StagePlan& worst = run.stages[static_cast<std::size_t>(stage)];
    for (int tp = 0; tp < mesh.shape.tp; ++tp) {
      const int rank = rank_of(mesh.shape, {.dp = 0, .tp = tp, .pp = stage});
      const StagePlan p = stage_plan_of(texts[static_cast<std::size_t>(rank)]);
      if (p.decisive(engine.on_gpu()) > worst.decisive(engine.on_gpu())) worst = p;
    }
  }
  plan_schedule(planned, run);
  return run;
}

std::int64_t count_data_files(const DeckSettings& deck) {
  const bool evaluates = deck.eval_iters != 0;
  const std::size_t others = deck.valid_data_paths.size() + deck.test_data_paths.size();
  return static_cast<std::int64_t>((evaluates ? 3 : 1) * deck.data_path.size() +
                                   deck.train_data_paths.size() + (evaluates ? others : 0));
}

MemoryCheck check_memory(const RunPlan& run, const std::vector<RankFacts>& ranks,
                         std::int64_t data_files) {
  const std::int64_t open_files =
      std::min(data_files, static_cast<std::int64_t>(kMostOpenTokenFiles));
  std::map<std::string, Room> rooms;
  for (int rank = 0; rank < static_cast<int>(ranks.size()); ++rank) {
    const RankFacts& facts = ranks[static_cast<std::size_t>(rank)];
    const MeshIndex at = index_of(run.mesh, rank);
    const StagePlan& p = run.stages[static_cast<std::size_t>(at.pp)];
    const bool on_gpu = !facts.gpu.empty();
    const auto take = [&](const std::string& name, std::int64_t there, std::int64_t bytes,
                          bool is_gpu) {
      Room& room = rooms[name];
      room.is_gpu = is_gpu;
      room.there = room.ranks == 0 ? there : std::min(room.there, there);
      room.planned += bytes;
      ++room.ranks;
    };
    if (on_gpu) take(facts.gpu + " of " + facts.host, facts.capacity, p.reserved(), true);
    take("the memory of " + facts.host, facts.node.available,
         kProcess + open_files * kOpenFile + p.beside() + (on_gpu ? 0 : p.reserved()), false);
  }
  return judge(rooms);
}

}  // namespace trireme
