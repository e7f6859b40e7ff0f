// SPDX-License-Identifier: Apache-2.0
// `trireme plan`: prints a run's forecast as tables, and writes JSON.
#include "plan.hpp"

#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "trireme/core/log.hpp"
#include "trireme/forecast/memory_plan.hpp"
#include "trireme/forecast/run_plan.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/model/transformer.hpp"

#include "inputs.hpp"

namespace trireme {

namespace {

/// Checks the data and takes their vocabulary, as train does. A deck with vocab_size may be
/// planned before its data exist.
void fill_vocabulary(Deck& deck) {
  const bool known = deck.model.vocab_size > 0;
  if (known && !has_data(deck)) return;
  try {
    static_cast<void>(check_data(deck, DocumentCheck::none));
  } catch (const Error& e) {
    if (known) throw;
    throw Error(fmt::format("{}; to plan without data, set vocab_size (--set vocab_size=50257)",
                            e.what()));
  }
}

void print_memory(const RunPlan& run) {
  log::info("");
  for (const std::string& line : memory_table(run, run.stages.size())) log::info("{}", line);
  log::info("         activations: all other memory at the peak; spare: free blocks kept for");
  log::info("         reuse; copy: a checkpoint's copy while it is written, in host memory");
  std::int64_t kept = 0;
  for (const StagePlan& s : run.stages) kept = std::max(kept, s.kept_on_host);
  if (kept > 0) {
    const ByteUnit unit = unit_for(kept);
    log::info("         host memory, part of the total: up to {:.2f} {} for layers' inputs",
              static_cast<double>(kept) / unit.bytes, unit.name);
  }
  // Peaks of processes on one machine (Open MPI 4.1, OpenBLAS 0.3.21), without a token file.
  log::info("         besides: the program, MPI, libraries and threads' work space, measured");
  log::info("         27 MiB a rank of one thread, 93 MiB of four");
}

void print_schedule(const Deck& deck, const RunPlan& run) {
  std::int64_t most = 0;
  for (const StagePlan& s : run.stages) {
    most = std::max({most, s.tapes, s.tensor_traffic, s.pipeline_traffic});
  }
  const ByteUnit unit = unit_for(most);
  log::info("");
  log::info("step     {} micro-batch{}{}", deck.gradient_accumulation_steps,
            deck.gradient_accumulation_steps == 1 ? "" : "es",
            run.mesh.pp == 1 ? ""
                             : fmt::format("; stages wait {:.1f} % of the time for each other",
                                           100 * run.idle));
  log::info("{:>8} {:>9} {:>11} {:>19} {:>18} {:>17}", "stage", "in flight",
            fmt::format("tapes {}", unit.name), "elements through dp",
            fmt::format("{} through tp", unit.name), fmt::format("{} sent in pp", unit.name));
  for (std::size_t i = 0; i < run.stages.size(); ++i) {
    const StagePlan& s = run.stages[i];
    const auto in = [&](std::int64_t b) { return static_cast<double>(b) / unit.bytes; };
    log::info("{:>8} {:>9} {:>11.2f} {:>19} {:>18.2f} {:>17.2f}", i, s.in_flight, in(s.tapes),
              s.reduced, in(s.tensor_traffic), in(s.pipeline_traffic));
  }
}

void print_checkpoint(const Deck& deck, const CheckpointPlan& c) {
  log::info("");
  if (deck.save.empty()) {
    log::info("save     no checkpoints: the deck does not set `save`");
    return;
  }
  log::info("save     {:.1f} MB a checkpoint in {} shard{} of {:.1f} to {:.1f} MB, {}",
            megabytes(c.bytes), c.writers, c.writers == 1 ? "" : "s", megabytes(c.least),
            megabytes(c.most),
            deck.checkpoint_async ? "written behind training" : "while training waits");
}

nlohmann::ordered_json to_json(const Deck& deck, int ranks, const RunPlan& run) {
  auto stages = nlohmann::ordered_json::array();
  for (const StagePlan& s : run.stages) {
    stages.push_back({{"parameters", s.parameters},
                      {"values_bytes", s.values},
                      {"gradients_bytes", s.gradients},
                      {"optimizer_bytes", s.optimizer},
                      {"activations_bytes", s.activations},
                      {"unsent_bytes", s.unsent},
                      {"tapes_bytes", s.tapes},
                      {"device_peak_bytes", s.peak()},
                      {"device_reserved_bytes", s.reserved()},
                      {"copy_bytes", s.copy},
                      {"kept_on_host_bytes", s.kept_on_host},
                      {"total_bytes", s.total()},
                      {"in_flight", s.in_flight},
                      {"reduced_elements", s.reduced},
                      {"tensor_bytes", s.tensor_traffic},
                      {"pipeline_bytes", s.pipeline_traffic}});
  }
  return {{"version", kVersion},
          {"ranks", ranks},
          {"mesh", {{"dp", run.mesh.dp}, {"tp", run.mesh.tp}, {"pp", run.mesh.pp}}},
          {"parameters", count_parameters(deck.model)},
          {"stages", stages},
          {"idle", run.idle},
          {"checkpoint",
           {{"bytes", run.checkpoint.bytes},
            {"writers", run.checkpoint.writers},
            {"least_bytes", run.checkpoint.least},
            {"most_bytes", run.checkpoint.most}}}};
}

}  // namespace

void plan(const DeckSource& source, const PlanOptions& options, Communicator& world) {
  if (world.rank() != 0) return;
  check(options.time);
  Deck deck = read_deck(source.files, source.overrides);
  resolve(deck, options.ranks);
  for (const std::string& w : deck.warnings) log::warn("{}", w);
  for (const std::string& n : deck.notes) log::info("deck     {}", n);
  fill_vocabulary(deck);
  resolve(deck, options.ranks);  // the vocabulary can change where layers are partitioned
  const RunPlan run = plan_run(deck, options.ranks, options.ranks_per_node);
  log::info("Trireme {}, plan for {} rank{}", kVersion, options.ranks,
            options.ranks == 1 ? "" : "s");
  print_mesh(deck, run.mesh);
  print_model(deck, run.mesh);
  print_memory(run);
  print_schedule(deck, run);
  print_checkpoint(deck, run.checkpoint);
  const nlohmann::ordered_json time = plan_times(deck, run.mesh, options.time);
  if (options.json.empty()) return;
  std::ofstream out(options.json);
  nlohmann::ordered_json json = to_json(deck, options.ranks, run);
  if (!time.is_null()) json["time"] = time;
  out << json.dump(2) << '\n';
  TRM_REQUIRE(out.good(), "cannot write {}", options.json);
}

}  // namespace trireme
