// SPDX-License-Identifier: Apache-2.0
// `trireme bench`: speed and memory of a deck's model on synthetic tokens.
#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "trireme/core/log.hpp"
#include "trireme/host/build_info.hpp"

#include "parts.hpp"
#include "timed_trainer.hpp"

namespace trireme {

namespace {

struct Measured {
  double step_seconds = 0;  ///< median
  double gemm_rate = 0;     ///< over all ranks
  std::array<double, kPhases> phases{};
  std::int64_t peak_bytes = 0;  ///< the process with the most
  std::int64_t kept_bytes = 0;  ///< 16 a parameter, and the tapes; rank with the most
  std::vector<std::int64_t> device_peaks;     ///< most arrays in use, by rank
  std::vector<std::int64_t> device_reserves;  ///< taken from the system, by rank
};

nlohmann::ordered_json to_json(const Deck& deck, const Measured& m, const Engine& engine,
                               int ranks, double tokens_per_second, double flops) {
  nlohmann::ordered_json phases;
  for (std::size_t p = 0; p < kPhases; ++p) phases[std::string(kPhaseNames[p])] = m.phases[p];
  return {
      {"case", bench_case(deck)},
      {"ranks", ranks},
      {"threads", engine.threads()},
      {"device", engine.exec().device.name()},
      {"on_gpu", engine.on_gpu()},
      {"tokens_per_second", tokens_per_second},
      {"gflops", flops * 1e-9},
      {"gemm_type", name_of(engine.gemm_type())},
      {"gemm_gflops", m.gemm_rate * 1e-9},
      {"ratio", flops / m.gemm_rate},
      {"step_seconds", m.step_seconds},
      {"peak_bytes", m.peak_bytes},
      {"kept_bytes", m.kept_bytes},
      {"memory_ratio", static_cast<double>(m.peak_bytes) / static_cast<double>(m.kept_bytes)},
      {"device_peak_bytes", m.device_peaks},
      {"device_reserved_bytes", m.device_reserves},
      {"phases", phases}};
}

/// Gathers a value of every rank.
std::vector<std::int64_t> by_rank(Communicator& world, std::size_t value) {
  auto mine = static_cast<std::int64_t>(value);
  std::vector<std::int64_t> all(static_cast<std::size_t>(world.size()));
  world.all_gather(View(&mine, DType::i64, Shape{1}),
                   View(all.data(), DType::i64, Shape{world.size()}));
  return all;
}

Measured measure(TimedTrainer& timed, const Engine& engine, int steps) {
  Communicator& world = *timed.mesh().world;
  Measured m;
  std::vector<double> seconds;
  const auto gemm = [&] {
    const double mine = engine.gemm_rate(world, 2048, 0.3).operations;
    m.gemm_rate = std::max(m.gemm_rate, world.reduce_value(mine, Reduction::sum));
  };
  for (int i = 0; i <= steps; ++i) {
    if (i == 1) timed.reset();  // step 0 was the warm-up
    const double taken = timed.step();
    if (i > 0) seconds.push_back(taken);
    if (world.rank() == 0) log::info("step {} of {}: {:.2f} s", i, steps, taken);
  }
  const std::int64_t process = peak_process_bytes();
  const MemoryUse device = engine.exec().device.memory();
  m.device_peaks = by_rank(world, device.peak);
  m.device_reserves = by_rank(world, device.reserved);
  gemm();  // after the steps, as machines are noisy; and after memory was read
  gemm();
  m.step_seconds = median(seconds);
  m.phases = timed.phases();
  const Trainer& trainer = timed.trainer();
  const std::int64_t kept =
      trainer.local_parameters() * 16 + static_cast<std::int64_t>(trainer.peak_tape_bytes());
  m.peak_bytes = world.reduce_count(process, Reduction::max);
  m.kept_bytes = world.reduce_count(kept, Reduction::max);
  return m;
}

}  // namespace

std::string bench_case(const Deck& deck) {
  return fmt::format("{} layers, hidden {}, vocabulary {}, s={}, micro-batch {}",
                     deck.model.num_layers, deck.model.hidden_size, deck.model.vocab_size,
                     deck.model.seq_length, deck.train_micro_batch_size_per_gpu);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void write_json(const std::string& file, const nlohmann::ordered_json& object) {
  if (file.empty()) return;
  std::ofstream out(file);
  out << object.dump(2) << '\n';
  TRM_REQUIRE(out.good(), "cannot write {}", file);
}

void bench(const DeckSource& source, const BenchOptions& options, const MpiSession& mpi) {
  if (options.update) return bench_update(source, options, mpi);
  if (!options.machine.empty()) return bench_machine(source, options, mpi);
  if (options.kernels) return bench_kernels(source, options, mpi);
  if (!options.against.empty()) return bench_against(source, options, mpi);
  Communicator& world = mpi.world();
  const Deck deck = load_bench_deck(source, world);
  const Engine engine(deck, mpi);
  TimedTrainer timed(engine, deck, world);
  const Measured m = measure(timed, engine, options.steps);
  if (world.rank() != 0) return;
  log::info("Trireme {} on {}, {} rank{}", version_text(), mpi_version(), world.size(),
            world.size() == 1 ? "" : "s");
  print_mesh(deck, timed.mesh().shape);
  print_model(deck, timed.mesh().shape);
  print_compute(engine, m.gemm_rate);
  log::info("data     synthetic tokens");
  const double rate =
      static_cast<double>(deck.train_batch_size * deck.model.seq_length) / m.step_seconds;
  const double flops = rate * flops_per_token(deck.model);
  log::info(
      "speed    {:.0f} tokens/s, {:.1f} GFLOP/s, {:.1f}% of the GEMM rate; a token "
      "counts 6 N + 12 layers·hidden·s operations",
      rate, flops * 1e-9, 100 * flops / m.gemm_rate);
  log::info("memory   {} MiB, {:.2f} × parameters, gradients, moments and kept activations",
            m.peak_bytes >> 20U,
            static_cast<double>(m.peak_bytes) / static_cast<double>(m.kept_bytes));
  for (std::size_t p = 0; p < kPhases; ++p) {
    log::info("phase    {:<14} {:.3f} s", kPhaseNames[p], m.phases[p]);
  }
  write_json(options.json, to_json(deck, m, engine, world.size(), rate, flops));
}

}  // namespace trireme
