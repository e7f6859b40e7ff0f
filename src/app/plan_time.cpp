// SPDX-License-Identifier: Apache-2.0
// Prints predicted times and searched layouts.
#include "plan_time.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "trireme/core/log.hpp"
#include "trireme/deck/machine.hpp"
#include "trireme/forecast/search.hpp"
#include "trireme/forecast/time_plan.hpp"
#include "trireme/model/transformer.hpp"

namespace trireme {

namespace {

constexpr double kGiB = 1073741824.0;
constexpr double kDay = 86400;
constexpr std::size_t kListed = 10;

double tokens_of(const Deck& deck) {
  return static_cast<double>(deck.train_batch_size * deck.model.seq_length);
}

void print_time(const Deck& deck, const MeshShape& mesh, const Machine& machine,
                const TimePlan& t) {
  const double step = t.step();
  const auto percent = [&](double part) { return 100 * part / step; };
  log::info("");
  log::info("time     {:.4g} s a step on {}: {:.4g} tokens/s, {:.3g} TFLOP/s a rank", step,
            machine.name.empty() ? "this machine" : machine.name, tokens_of(deck) / step,
            flops_per_token(deck.model) * tokens_of(deck) / step / mesh.size() * 1e-12);
  log::info(
      "         compute {:.1f} %, waiting for tp {:.1f} %, dp {:.1f} %, other stages {:.1f} %, "
      "update {:.1f} %",
      percent(t.compute), percent(t.tensor), percent(t.data), percent(t.pipeline),
      percent(t.optimizer));
  if (deck.train_iters == 0) return;
  const double seconds = step * static_cast<double>(deck.train_iters);
  const double hours = seconds / 3600 * mesh.size();
  std::string energy;
  if (machine.watts > 0) energy = fmt::format(", {:.4g} MWh", hours * machine.watts * 1e-6);
  log::info("         {} steps take {:.3g} days, {:.4g} device-hours{}", deck.train_iters,
            seconds / kDay, hours, energy);
}

nlohmann::ordered_json to_json(const TimePlan& t) {
  return {{"step_seconds", t.step()}, {"compute", t.compute},   {"tensor", t.tensor},
          {"data", t.data},           {"pipeline", t.pipeline}, {"optimizer", t.optimizer},
          {"bound_by", t.bound_by()}};
}

nlohmann::ordered_json to_json(const FoundLayout& f) {
  const Layout& l = f.layout;
  return {{"dp", l.dp},
          {"tp", l.tp},
          {"pp", l.pp},
          {"chunks", l.chunks},
          {"micro_batch", l.micro_batch},
          {"accumulation", l.accumulation},
          {"zero_stage", l.zero_stage},
          {"reduce_once_per_step", l.reduce_once},
          {"sequence_parallel", l.sequence_parallel},
          {"recompute", name_of(l.recompute)},
          {"memory_bytes", f.memory},
          {"time", to_json(f.time)}};
}

void print_layouts(const Deck& deck, const SearchResult& found) {
  log::info("{:>4} {:>5} {:>4} {:>4} {:>6} {:>6} {:>6} {:>6} {:>4} {:>10} {:>9} {:>11} {:>8}",
            "", "dp", "tp", "pp", "chunks", "micro", "steps", "ZeRO", "SP", "recompute",
            "s a step", "tokens/s", "GiB");
  for (std::size_t i = 0; i < found.best.size(); ++i) {
    const Layout& l = found.best[i].layout;
    const TimePlan& t = found.best[i].time;
    log::info(
        "{:>4} {:>5} {:>4} {:>4} {:>6} {:>6} {:>6} {:>6} {:>4} {:>10} {:>9.4g} {:>11.4g} "
        "{:>8.1f}  {}",
        i + 1, l.dp, l.tp, l.pp, l.chunks, l.micro_batch, l.accumulation,
        fmt::format("{}{}", l.zero_stage, l.reduce_once ? " once" : ""),
        l.sequence_parallel ? "yes" : "no", name_of(l.recompute), t.step(),
        tokens_of(deck) / t.step(), static_cast<double>(found.best[i].memory) / kGiB,
        t.bound_by());
  }
  log::info(
      "         steps: micro-batches in a step; once: reduce_once_per_step; SP: "
      "sequence_parallel;");
  log::info("         the last column is what bounds the layout");
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.close();
  TRM_REQUIRE(out.good(), "cannot write {}", path);
  log::info("         {} written", path);
}

/// The memory that a rank may take.
std::int64_t limit_of(const PlanTimeOptions& options, const Machine& machine) {
  if (!options.device_memory.empty()) return parse_bytes(options.device_memory);
  TRM_REQUIRE(
      machine.device_memory > 0,
      "--search needs the memory of a rank: add --device-memory 80GiB, or device_memory "
      "to {}",
      options.machine);
  return machine.device_memory;
}

SearchResult search(const Deck& deck, const MeshShape& mesh, const Machine& machine,
                    const PlanTimeOptions& options, const TimePlan& given) {
  const std::int64_t limit = limit_of(options, machine);
  const auto begin = std::chrono::steady_clock::now();
  log::info("");
  log::info("search   layouts of {} ranks with at most {:.1f} GiB each", mesh.size(),
            static_cast<double>(limit) / kGiB);
  SearchResult found =
      search_layouts(deck, mesh.size(), machine, limit, kListed,
                     [](const std::string& text) { log::info("         {}", text); });
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  TRM_REQUIRE(!found.best.empty(),
              "none of {} layouts of {} ranks fits {:.1f} GiB a rank: use more ranks, a device "
              "with more memory, or a smaller train_batch_size",
              found.tried, mesh.size(), static_cast<double>(limit) / kGiB);
  log::info("         {:.1f} s; {} faster ones need more memory", taken.count(),
            found.too_large);
  print_layouts(deck, found);
  const FoundLayout& best = found.best.front();
  if (options.explain) {
    log::info("");
    const auto reasons = explain_difference({layout_of(deck, mesh), given, 0}, best);
    log::info("explain  this deck takes {:.4g} s a step, the best layout {:.4g} s",
              given.step(), best.time.step());
    for (const std::string& line : reasons) log::info("         {}", line);
    if (reasons.empty()) log::info("         no part differs by more than 0.5 % of a step");
  }
  if (!options.write.empty()) {
    write_text(options.write,
               fmt::format("# The fastest layout that `trireme plan --search` found for {} "
                           "ranks.\n# Name this file after your deck.\n{}",
                           mesh.size(), layout_yaml(best.layout)));
  }
  return found;
}

}  // namespace

void check(const PlanTimeOptions& o) {
  TRM_REQUIRE(!o.machine.empty() || (!o.search && o.timeline.empty()),
              "{} needs a machine's rates: add --machine FILE (inputs/machines/ has examples)",
              o.search ? "--search" : "--timeline");
  TRM_REQUIRE(o.search || (!o.explain && o.write.empty()), "{} needs --search",
              o.explain ? "--explain" : "--write");
}

void check(const PlanTimeOptions& options, const Machine& machine) {
  if (options.search) static_cast<void>(limit_of(options, machine));
}

nlohmann::ordered_json plan_times(const Deck& deck, const MeshShape& mesh,
                                  const Machine& machine, const PlanTimeOptions& options) {
  const TimePlan time = plan_time(deck, mesh, machine);
  print_time(deck, mesh, machine, time);
  nlohmann::ordered_json json = to_json(time);
  if (!options.timeline.empty()) {
    write_text(options.timeline, timeline_svg(plan_timeline(deck, mesh, machine)));
  }
  if (options.search) {
    const SearchResult found = search(deck, mesh, machine, options, time);
    auto layouts = nlohmann::ordered_json::array();
    for (const FoundLayout& f : found.best) layouts.push_back(to_json(f));
    json["search"] = {{"tried", found.tried}, {"best", layouts}};
  }
  return json;
}

}  // namespace trireme
