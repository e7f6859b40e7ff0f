// SPDX-License-Identifier: Apache-2.0
// Prints the start screen.
#include "start_screen.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/deck/load.hpp"
#include "trireme/deck/offload_limits.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/environment.hpp"
#include "trireme/host/mesh_table.hpp"

#include "rate_text.hpp"

namespace trireme {

namespace {

constexpr std::size_t kColumns = 110;  // a line that any terminal shows whole
constexpr std::size_t kHostLines = 4;
constexpr std::size_t kStageLines = 3;

/// `usual`, or all lines with --verbose.
std::size_t lines_of(std::size_t usual) {
  return log::is_verbose() ? std::numeric_limits<std::size_t>::max() : usual;
}

/// The device without its number: "NVIDIA H100" for "cuda:3 NVIDIA H100". A node's ranks then
/// read alike.
std::string device_kind(const RankFacts& facts) {
  if (facts.gpu.empty()) {
    return fmt::format("{}, {} thread{}", facts.device, facts.threads,
                       facts.threads == 1 ? "" : "s");
  }
  const auto space = facts.device.find(' ');
  return space == std::string::npos ? facts.device : facts.device.substr(space + 1);
}

void print_hosts(const StartScreen& s) {
  std::vector<RankPlace> places;
  for (const RankFacts& facts : s.ranks) {
    places.push_back({facts.host, device_kind(facts)});
  }
  for (const std::string& line : mesh_table(s.plan.mesh, places, lines_of(kHostLines))) {
    log::info("         {}", line);
  }
}

void print_memory(const StartScreen& s) {
  for (const std::string& line : memory_table(s.plan, lines_of(kStageLines))) {
    log::info("{}", line);
  }
  const MemoryCheck check = check_memory(s.plan, s.ranks, count_data_files(s.deck));
  if (!check.tightest.empty()) log::info("         planned of {}", check.tightest);
}

void print_schedule(const StartScreen& s) {
  const Deck& deck = s.deck;
  const std::int64_t micro_batches = deck.gradient_accumulation_steps;
  const std::string batches =
      fmt::format("{} micro-batch{}", micro_batches, micro_batches == 1 ? "" : "es");
  if (s.plan.mesh.pp == 1) {
    log::info("schedule {} a step, no pipeline", batches);
  } else {
    log::info(
        "schedule {}: {} through {} stages, which wait {:.1f} % of the time for each other",
        deck.pipeline_schedule == PipelineSchedule::gpipe ? "gpipe" : "1f1b", batches,
        s.plan.mesh.pp, 100 * s.plan.idle);
    const std::string why = why_stages_wait(deck, s.plan);
    if (!why.empty()) log::info("         {}", why);
  }
  log::info("rate     {}", rate_text(deck));
}

}  // namespace

void print_start(const StartScreen& s) {
  const auto n = s.ranks.size();
  const std::string job = batch_job();
  log::info("Trireme {} on {}, {} rank{} | {}{}", version_text(), mpi_version(), n,
            n == 1 ? "" : "s", date_text(), job.empty() ? "" : " | " + job);
  print_mesh(s.deck, s.plan.mesh);
  print_hosts(s);
  print_model(s.deck, s.plan.mesh);
  print_compute(s.engine, s.gemm_rate);
  for (const std::string& line : gpu_choice(s.ranks)) log::info("         {}", line);
  for (const std::string& line : crowding(s.ranks, s.busy)) log::info("         {}", line);
  print_memory(s);
  const std::string engine = s.state_file != nullptr ? s.state_file->engine() : "";
  const std::string offload = offload_text(s.deck, most_in_files(s.plan), engine);
  if (!offload.empty()) log::info("offload  {}", offload);
  log::info("data     {}", s.data);
  print_schedule(s);
  const AverageConfig& ema = s.deck.ema;
  if (ema.enabled) {
    log::info("average  decay {} of the weights (ema); evaluations use {}", ema.decay,
              ema.validate_original ? "the trained weights" : "this average");
  }
}

void print_start_end(const Deck& deck, const StartClock& clock) {
  if (!deck.run_folder().empty()) {
    log::info("run      {}: metrics.h5, log.txt, deck.yml, environment.txt", deck.run_folder());
  }
  log::info("{}", start_line(clock.seconds(), clock.phases()));
}

std::string start_line(double seconds, std::vector<std::pair<std::string, double>> phases) {
  // smaller values would be printed as 0
  std::erase_if(phases, [](const auto& phase) { return phase.second < 0.005; });
  while (true) {
    std::string line = fmt::format("start    {:.2f} s", seconds);
    const char* before = ": ";
    for (const auto& [name, spent] : phases) {
      line += fmt::format("{}{} {:.2f}", std::exchange(before, ", "), name, spent);
    }
    if (line.size() <= kColumns || phases.empty()) return line;
    phases.erase(std::ranges::min_element(phases, {}, &std::pair<std::string, double>::second));
  }
}

RunPlan plan_checked(const Deck& deck, const Engine& engine, const Mesh& mesh,
                     const std::vector<RankFacts>& ranks, bool force) {
  RunPlan plan = plan_start(deck, engine, mesh);
  collectively(*mesh.world, [&] {
    if (mesh.world->rank() != 0) return;
    const MemoryCheck check = check_memory(plan, ranks, count_data_files(deck));
    TRM_REQUIRE(!check.far_too_much || force, "{}. To start nevertheless, add --force",
                check.trouble);
    if (!check.trouble.empty()) log::warn("{}", check.trouble);
  });
  return plan;
}

}  // namespace trireme
