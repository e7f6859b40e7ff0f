// SPDX-License-Identifier: Apache-2.0
// `trireme plan`: prints a run's forecast as tables, and writes JSON.
#include "plan.hpp"

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/deck/machine.hpp"
#include "trireme/deck/offload_limits.hpp"
#include "trireme/forecast/memory_plan.hpp"
#include "trireme/forecast/run_plan.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/inference/generate.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/optim/optimizer_table.hpp"

#include "inputs.hpp"
#include "rate_text.hpp"

namespace trireme {

namespace {

/// Checks the data and takes their vocabulary, as train does. A deck with vocab_size may be
/// planned before its data exist.
void fill_vocabulary(Deck& deck) {
  if (!has_data(deck)) take_vocabulary(deck);
  const ModelConfig& model = deck.model;
  const bool labels = model.task != Task::sequence_classification || model.num_labels > 0;
  const bool known = model.vocab_size > 0 && labels;
  if (known && !has_data(deck)) return;
  try {
    static_cast<void>(check_data(deck, DocumentCheck::none));
  } catch (const Error& e) {
    if (known) throw;
    throw Error(
        fmt::format("{}; to plan without data, set vocab_size (--set vocab_size=50257){}",
                    e.what(), labels ? "" : " and num_labels"));
  }
}

void print_memory(const Deck& deck, const RunPlan& run) {
  log::info("");
  for (const std::string& line : memory_table(run, run.stages.size())) log::info("{}", line);
  log::info("         activations: all other memory at the peak; spare: free blocks kept for");
  log::info("         reuse; copy: a checkpoint's copy while it is written{}",
            run.on_gpu ? "; inputs: of layers, by checkpoint_in_cpu" : "");
  const Besides more = besides_arrays(deck, run);
  if (run.on_gpu) {
    log::info(
        "besides  {} on each GPU: {} for CUDA's context and libraries, {} for communication;",
        size_text(more.sum()), size_text(more.context), size_text(more.communication));
    log::info("         allowances, which no run has measured");
  } else {
    log::info("besides  {} a rank of one thread, 93 MiB of four: the program, MPI, libraries,",
              size_text(more.sum()));
    log::info("         threads' work space, as measured");
  }
}

void print_offload(const Deck& deck, const RunPlan& run) {
  const std::string text = offload_text(deck, most_in_files(run), "beside the memory above");
  if (!text.empty()) log::info("offload  {}", text);
}

void print_schedule(const Deck& deck, const RunPlan& run) {
  std::int64_t most = 0;
  for (const StagePlan& s : run.stages) {
    most = std::max({most, s.tapes, s.data_traffic, s.tensor_traffic, s.pipeline_traffic});
  }
  const ByteUnit unit = unit_for(most);
  log::info("");
  log::info("step     {} micro-batch{}{}", deck.gradient_accumulation_steps,
            deck.gradient_accumulation_steps == 1 ? "" : "es",
            run.mesh.pp == 1 ? ""
                             : fmt::format("; stages wait {:.1f} % of the time for each other",
                                           100 * run.idle));
  const std::string why = why_stages_wait(deck, run);
  if (!why.empty()) log::info("         {}", why);
  log::info("         {} that a rank communicates in its groups of dp, tp and pp, a step",
            unit.name);
  log::info("{:>8} {:>6} {:>10} {:>9} {:>11} {:>11} {:>11}", "stage", "work", "in flight",
            "tapes", "dp", "tp", "pp");
  for (std::size_t i = 0; i < run.stages.size(); ++i) {
    const StagePlan& s = run.stages[i];
    const auto in = [&](std::int64_t b) { return static_cast<double>(b) / unit.bytes; };
    log::info("{:>8} {:>6.2f} {:>10} {:>9.2f} {:>11.2f} {:>11.2f} {:>11.2f}", i, s.work,
              s.in_flight, in(s.tapes), in(s.data_traffic), in(s.tensor_traffic),
              in(s.pipeline_traffic));
  }
  const std::int64_t quantized =
      std::ranges::max(run.stages, {}, &StagePlan::quantized_traffic).quantized_traffic;
  if (quantized > 0) {
    log::info("         with {} bytes of quantized values over dp among them",
              grouped(quantized));
  }
  const std::int64_t nearby =
      std::ranges::max(run.stages, {}, &StagePlan::nearby_traffic).nearby_traffic;
  if (nearby > 0) {
    log::info("         and {} bytes from the {} neighbours along dp", grouped(nearby),
              deck.zero.hpz_partition_size);
  }
  const std::int64_t signs =
      std::ranges::max(run.stages, {}, &StagePlan::compressed_traffic).compressed_traffic;
  if (signs > 0) {
    const OptimizerRow& row = optimizer_row(deck.optimizer.kind);
    log::info("         from iteration {} on, {} bytes of signs and scales over dp instead{}",
              row.exact_updates(deck.optimizer) + 1, grouped(signs),
              row.averages_each_step ? "" : ", at steps that average");
  }
}

/// What the model needs once it is trained. `trireme generate --batch` sets the sequences.
void print_generation(const Deck& deck, const RunPlan& run) {
  if (deck.model.task != Task::language_model) return;
  const auto most = [&](std::int64_t StagePlan::*member) {
    return std::ranges::max(run.stages, {}, member).*member;
  };
  const std::int64_t token = most(&StagePlan::cache_a_token);
  const std::int64_t length = deck.model.seq_length;
  const std::int64_t slots = GenerateOptions{}.slots;
  log::info("");
  log::info("generate {} of weights a rank, and {:.4g} KiB of cache a token of each sequence;",
            size_text(most(&StagePlan::used_values)), static_cast<double>(token) / 1024);
  log::info("         {} sequences of {} tokens in each of {} replicas have {} of cache a rank",
            slots, length, run.mesh.dp, size_text(token * length * slots));
}

void print_checkpoint(const Deck& deck, const CheckpointPlan& c) {
  log::info("");
  if (deck.save.empty()) {
    log::info("save     no checkpoints: the deck does not set `save`");
    return;
  }
  log::info("save     {} a checkpoint in {} shard{} of {} to {}, {}", decimal_size(c.bytes),
            grouped(c.writers), c.writers == 1 ? "" : "s", decimal_size(c.least),
            decimal_size(c.most),
            deck.checkpoint_async ? "written behind training" : "while training waits");
}

/// What helps most where `part` is the largest share of a device's memory.
const char* remedy(std::string_view part) {
  if (part == "activations") {
    return "checkpoint_activations, sequence_parallel or a smaller micro-batch";
  }
  if (part == "optimizer") return "zero_optimization: {stage: 1}, and more ranks of dp";
  return "a larger model_parallel_size or pipe_parallel_size, or zero_optimization: {stage: 3}";
}

/// Compares the largest rank with a device of `there` bytes, and names what takes the memory.
/// Returns whether it fits.
bool print_fit(const Deck& deck, const RunPlan& run, std::int64_t there) {
  const std::size_t stage = largest_stage(run);
  const StagePlan& s = run.stages[stage];
  const std::int64_t besides = besides_arrays(deck, run).sum();
  const std::int64_t needed = s.decisive(run.on_gpu) + besides;
  std::vector<std::pair<const char*, std::int64_t>> parts = {
      {"values", s.values},           {"gradients", s.gradients}, {"optimizer", s.optimizer},
      {"activations", s.activations}, {"spare", s.unused},        {"besides", besides}};
  if (!run.on_gpu) parts.emplace_back("copy", s.beside());
  std::ranges::stable_sort(parts, std::greater(),
                           &std::pair<const char*, std::int64_t>::second);
  std::string takes;
  for (const auto& [name, bytes] : parts) {
    if (bytes == 0) continue;
    takes += fmt::format("{}{} {}", takes.empty() ? "" : ", ", name, size_text(bytes));
  }
  const bool fits = needed <= there;
  log::info("");
  log::info("{} a rank of stage {} needs {} of {}{}: {}", fits ? "fits    " : "too much", stage,
            size_text(needed), size_text(there), run.on_gpu ? " on its GPU" : "", takes);
  if (fits) {
    log::info("         {} stay free", size_text(there - needed));
  } else {
    log::info("         {} are missing; what helps most: {}", size_text(needed - there),
              remedy(parts.front().first));
  }
  return fits;
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
                      {"generate_values_bytes", s.used_values},
                      {"generate_cache_bytes_per_token", s.cache_a_token},
                      {"work", s.work},
                      {"in_flight", s.in_flight},
                      {"reduced_elements", s.reduced},
                      {"data_bytes", s.data_traffic},
                      {"quantized_bytes", s.quantized_traffic},
                      {"nearby_elements", s.nearby},
                      {"nearby_bytes", s.nearby_traffic},
                      {"compressed_data_bytes", s.compressed_traffic},
                      {"tensor_bytes", s.tensor_traffic},
                      {"pipeline_bytes", s.pipeline_traffic}});
  }
  return {{"version", kVersion},
          {"ranks", ranks},
          {"mesh", {{"dp", run.mesh.dp}, {"tp", run.mesh.tp}, {"pp", run.mesh.pp}}},
          {"parameters", count_parameters(deck.model)},
          {"trained_parameters", count_trained(deck.model).trained},
          {"device", run.on_gpu ? "cuda" : "cpu"},
          {"besides_bytes", besides_arrays(deck, run).sum()},
          {"stages", stages},
          {"idle", run.idle},
          {"idle_if_equal", run.idle_if_equal},
          {"checkpoint",
           {{"bytes", run.checkpoint.bytes},
            {"writers", run.checkpoint.writers},
            {"least_bytes", run.checkpoint.least},
            {"most_bytes", run.checkpoint.most}}}};
}

}  // namespace

int plan(const DeckSource& source, const PlanOptions& options, Communicator& world) {
  if (world.rank() != 0) return 0;
  check(options.time);
  Deck deck = read_deck(source.files, source.overrides);
  resolve(deck, options.ranks);
  for (const std::string& w : deck.warnings) log::warn("{}", w);
  for (const std::string& n : deck.notes) log::info("deck     {}", n);
  fill_vocabulary(deck);
  resolve(deck, options.ranks);  // the vocabulary can change where layers are partitioned
  TRM_REQUIRE(
      !classifies(deck.model.task) || options.time.machine.empty(),
      "--machine: the time of a step is predicted for models of tokens only, and not for "
      "classifiers");
  std::optional<Machine> machine;
  if (!options.time.machine.empty()) machine = read_machine(options.time.machine);
  if (machine) check(options.time, *machine);
  const bool sized = !options.time.device_memory.empty() && !machine;
  if (deck.device == Deck::ComputeDevice::automatic &&
      (sized || (machine && machine->has_gpus))) {
    deck.device = Deck::ComputeDevice::cuda;
  }
  const RunPlan run = plan_run(deck, options.ranks, options.ranks_per_node);
  log::info("Trireme {}, plan for {} rank{}{}", kVersion, grouped(options.ranks),
            options.ranks == 1 ? "" : "s",
            run.on_gpu ? ", each with a GPU" : " on CPUs (device: cuda plans for GPUs)");
  print_mesh(deck, run.mesh);
  print_model(deck, run.mesh);
  print_memory(deck, run);
  print_offload(deck, run);
  print_schedule(deck, run);
  log::info("rate     {}", rate_text(deck));
  print_generation(deck, run);
  print_checkpoint(deck, run.checkpoint);
  const bool fits = !sized || print_fit(deck, run, parse_bytes(options.time.device_memory));
  nlohmann::ordered_json time;
  if (machine) time = plan_times(deck, run.mesh, *machine, options.time);
  if (!options.json.empty()) {
    std::ofstream out(options.json);
    nlohmann::ordered_json json = to_json(deck, options.ranks, run);
    if (!time.is_null()) json["time"] = time;
    out << json.dump(2) << '\n';
    TRM_REQUIRE(out.good(), "cannot write {}", options.json);
  }
  return fits ? 0 : 1;
}

}  // namespace trireme
