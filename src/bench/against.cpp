// SPDX-License-Identifier: Apache-2.0
// Compares two decks, whose steps alternate.
#include <algorithm>
#include <iterator>

#include "trireme/core/log.hpp"

#include "parts.hpp"
#include "timed_trainer.hpp"

namespace trireme {

namespace {

struct Side {
  std::vector<double> seconds;  ///< one for each step
  std::array<double, kPhases> phases{};
  double received = 0;  ///< bytes a step, one rank
  double floor = 0;     ///< seconds to copy the received bytes once
  int skipped = 0;
};

Side side_of(const TimedTrainer& timed, std::vector<double> seconds, double rate) {
  Side side{std::move(seconds), timed.phases(), timed.received_bytes(), 0, timed.skipped()};
  side.floor = side.received / rate;
  return side;
}

void print(const char* name, const Side& side) {
  std::string phases;
  for (std::size_t p = 0; p < kPhases; ++p) {
    if (side.phases[p] > 0) phases += fmt::format(" {} {:.3f}", kPhaseNames[p], side.phases[p]);
  }
  log::info("{}  step {:.3f} s:{}; {:.0f} MB received, {:.3f} s to copy them{}", name,
            median(side.seconds), phases, side.received * 1e-6, side.floor,
            side.skipped > 0 ? fmt::format("; {} updates skipped", side.skipped) : "");
}

nlohmann::ordered_json to_json(const Side& side) {
  nlohmann::ordered_json phases;
  for (std::size_t p = 0; p < kPhases; ++p) {
    phases[std::string(kPhaseNames[p])] = side.phases[p];
  }
  return {{"step_seconds", median(side.seconds)},
          {"all_seconds", side.seconds},
          {"phases", phases},
          {"received_bytes", side.received},
          {"copy_seconds", side.floor},
          {"skipped", side.skipped}};
}

}  // namespace

void bench_against(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi) {
  Communicator& world = mpi.world();
  DeckSource other = source;
  std::ranges::copy(options.against, std::back_inserter(other.overrides));
  const Deck deck = load_bench_deck(source, world);
  const Deck other_deck = load_bench_deck(other, world);
  // The settings may be those of a device: its kernels, communication and threads.
  const Engine engine(deck, mpi);
  const double rate = copy_rate(engine, world);
  const Engine other_engine(other_deck, mpi);
  TimedTrainer one(engine, deck, world);
  TimedTrainer two(other_engine, other_deck, world);
  const auto step = [&](TimedTrainer& timed, std::vector<double>& seconds) {
    set_cpu_threads((&timed == &one ? engine : other_engine).threads());
    seconds.push_back(timed.step());
  };
  std::vector<double> a;
  std::vector<double> b;
  (void)one.step();  // the first step fills memory that later steps reuse
  (void)two.step();
  one.reset();
  two.reset();
  step(one, a);
  std::vector<double> ratios;
  for (int i = 1; i <= options.steps; ++i) {
    step(two, b);
    step(one, a);
    ratios.push_back(2 * b.back() / (a.back() + a[a.size() - 2]));
    if (world.rank() == 0) {
      log::info("turn {} of {}: {:.2f} and {:.2f} s, ratio {:.3f}", i, options.steps, a.back(),
                b.back(), ratios.back());
    }
  }
  const Side first = side_of(one, std::move(a), rate);
  const Side second = side_of(two, std::move(b), rate);
  if (world.rank() != 0) return;
  print("without", first);
  print("with   ", second);
  log::info("ratio    {:.3f} of step times, median of {} turns ({})", median(ratios),
            ratios.size(), fmt::join(options.against, ", "));
  write_json(options.json, {{"case", bench_case(deck)},
                            {"ranks", world.size()},
                            {"threads", engine.threads()},
                            {"base", source.overrides},
                            {"against", options.against},
                            {"ratio", median(ratios)},
                            {"ratios", ratios},
                            {"copy_bytes_per_second", rate},
                            {"without", to_json(first)},
                            {"with", to_json(second)}});
}

}  // namespace trireme
