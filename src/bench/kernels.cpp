// SPDX-License-Identifier: Apache-2.0
// Compares each kernel's time, by the device's clock, with the kernel's floor.
#include <algorithm>
#include <cmath>

#include "trireme/core/log.hpp"

#include "kernel_cases.hpp"
#include "parts.hpp"
#include "timed_trainer.hpp"

namespace trireme {

namespace {

// Sets of arrays take turns, so that together they exceed any cache (50 MB on an H100).
constexpr double kRotatedBytes = 256e6;
constexpr double kMostSets = 64;
// A measurement repeats calls until this time has passed; the median of several measurements
// counts.
constexpr double kSeconds = 2e-3;
constexpr int kMostCalls = 1000;
constexpr double kSecondsOfAll = 0.25;

struct Rates {
  double operations = 0;  ///< operations a second
  double bytes = 0;       ///< bytes read and written, a second
};

double floor_of(const KernelCase& kernel, const Rates& rates) {
  return std::max(kernel.operations / rates.operations, kernel.bytes / rates.bytes);
}

struct Group {
  std::string name;
  double seconds = 0;  ///< seconds a step
  double floor = 0;
};

void add_to(std::vector<Group>& groups, const std::string& name, double seconds, double floor) {
  auto group = std::ranges::find(groups, name, &Group::name);
  if (group == groups.end()) group = groups.insert(group, Group{name});
  group->seconds += seconds;
  group->floor += floor;
}

void print(const Deck& deck, const Engine& engine, const Rates& rates) {
  log::info("{}; {}, gradients in {}", bench_case(deck), name_of(deck.types.compute),
            name_of(deck.types.gradient));
  log::info("{}: GEMMs reach {:.1f} GFLOP/s; copies read and write {:.1f} GB/s",
            engine.describe(), rates.operations * 1e-9, rates.bytes * 1e-9);
  log::info(
      "floor: a kernel's operations or bytes at those rates; each array is read once and "
      "written once");
  log::info("{:<46} {:>6} {:>12} {:>12} {:>9}", "kernel", "calls", "us a call", "floor us",
            "of floor");
}

void print(const std::string& name, std::int64_t calls, double seconds, double floor) {
  log::info("{:<46} {:>6} {:>12.1f} {:>12.1f} {:>7.1f} %", name, calls, seconds * 1e6,
            floor * 1e6, 100 * floor / seconds);
}

}  // namespace

double time_kernel(const Exec& ex, const KernelCase& kernel) {
  const double sets = std::ceil(kRotatedBytes / std::max(1.0, kernel.bytes));
  std::vector<std::function<void()>> runs;
  for (int i = 0; i < static_cast<int>(std::min(kMostSets, sets)); ++i) {
    runs.push_back(kernel.make());
  }
  std::size_t next = 0;
  const auto seconds = [&](int calls) {
    const auto begin = ex.stream.record_timed();
    for (int i = 0; i < calls; ++i) runs[next++ % runs.size()]();
    const auto end = ex.stream.record_timed();
    end->synchronize();
    return end->seconds_since(*begin) / calls;
  };
  (void)seconds(static_cast<int>(runs.size()));  // the first calls load and choose kernels
  const double about = std::max(1e-7, seconds(1));
  const int calls = static_cast<int>(std::clamp(kSeconds / about, 1.0, double{kMostCalls}));
  const double times = std::clamp(kSecondsOfAll / (about * calls), 5.0, 25.0);
  std::vector<double> taken;
  for (int i = 0; i < static_cast<int>(times); ++i) taken.push_back(seconds(calls));
  return median(taken);
}

void bench_kernels(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi) {
  Communicator& world = mpi.world();
  if (world.size() > 1) {
    Error error("bench --kernels measures one rank: start without mpirun, or with -np 1");
    throw error.set_everywhere();
  }
  const Deck deck = load_bench_deck(source, world);
  if (classifies(deck.model.task)) {
    Error error(
        "bench --kernels lists the kernels of models that predict tokens; bench without it "
        "measures a classifier's steps");
    throw error.set_everywhere();
  }
  const Engine engine(deck, mpi);
  const Rates rates = {.operations = engine.gemm_rate(world, 2048, 0.3).operations,
                       .bytes = 2 * copy_rate(engine, world)};
  print(deck, engine, rates);
  const KernelCases kernels(engine.exec(), deck);
  std::vector<Group> groups;
  nlohmann::ordered_json figures;
  for (const KernelCase& k : kernels.all()) {
    const double seconds = time_kernel(engine.exec(), k);
    engine.exec().device.trim();  // the next kernel needs blocks of other sizes
    const double floor = floor_of(k, rates);
    print(k.name, k.calls, seconds, floor);
    add_to(groups, k.group, static_cast<double>(k.calls) * seconds,
           static_cast<double>(k.calls) * floor);
    figures.push_back({{"group", k.group},
                       {"name", k.name},
                       {"calls", k.calls},
                       {"seconds", seconds},
                       {"operations", k.operations},
                       {"bytes", k.bytes},
                       {"floor_seconds", floor},
                       {"of_floor", floor / seconds}});
  }
  nlohmann::ordered_json sums;
  log::info("{:<46} {:>6} {:>12} {:>12}", "of a step", "", "ms", "floor ms");
  for (const Group& g : groups) {
    if (g.seconds == 0) continue;
    log::info("{:<46} {:>6} {:>12.3f} {:>12.3f} {:>7.1f} %", g.name, "", g.seconds * 1e3,
              g.floor * 1e3, 100 * g.floor / g.seconds);
    sums.push_back({{"group", g.name}, {"seconds", g.seconds}, {"floor_seconds", g.floor}});
  }
  write_json(options.json, {{"case", bench_case(deck)},
                            {"device", engine.exec().device.name()},
                            {"type", name_of(deck.types.compute)},
                            {"operations_per_second", rates.operations},
                            {"bytes_per_second", rates.bytes},
                            {"kernels", figures},
                            {"groups", sums}});
}

}  // namespace trireme
