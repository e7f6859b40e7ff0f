// SPDX-License-Identifier: Apache-2.0
// `trireme bench`: speed and memory of a deck's model on synthetic tokens.
#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "trireme/core/log.hpp"

#include "run.hpp"
#include "trainer.hpp"

namespace trireme {

namespace {

struct Measured {
  double step_seconds = 0;  ///< median
  double gemm_rate = 0;     ///< over all ranks
  std::array<double, kPhases> phases{};
  std::int64_t peak_bytes = 0;                ///< of the process, most of all ranks
  std::int64_t kept_bytes = 0;                ///< 16 a parameter and the tapes, of that rank
  std::vector<std::int64_t> device_peaks;     ///< of arrays in use, by rank
  std::vector<std::int64_t> device_reserves;  ///< taken from the system, by rank
};

nlohmann::ordered_json to_json(const Deck& deck, const Measured& m, int ranks, int threads,
                               double tokens_per_second, double flops) {
  nlohmann::ordered_json phases;
  for (std::size_t p = 0; p < kPhases; ++p) phases[std::string(kPhaseNames[p])] = m.phases[p];
  return {
      {"case", fmt::format("{} layers, hidden {}, vocabulary {}, s={}, micro-batch {}",
                           deck.model.num_layers, deck.model.hidden_size, deck.model.vocab_size,
                           deck.model.seq_length, deck.train_micro_batch_size_per_gpu)},
      {"ranks", ranks},
      {"threads", threads},
      {"tokens_per_second", tokens_per_second},
      {"gflops", flops * 1e-9},
      {"sgemm_gflops", m.gemm_rate * 1e-9},
      {"ratio", flops / m.gemm_rate},
      {"step_seconds", m.step_seconds},
      {"peak_bytes", m.peak_bytes},
      {"kept_bytes", m.kept_bytes},
      {"memory_ratio", static_cast<double>(m.peak_bytes) / static_cast<double>(m.kept_bytes)},
      {"device_peak_bytes", m.device_peaks},
      {"device_reserved_bytes", m.device_reserves},
      {"phases", phases}};
}

/// Every rank's value.
std::vector<std::int64_t> by_rank(Communicator& world, std::size_t value) {
  auto mine = static_cast<std::int64_t>(value);
  std::vector<std::int64_t> all(static_cast<std::size_t>(world.size()));
  world.all_gather(View(&mine, DType::i64, Shape{1}),
                   View(all.data(), DType::i64, Shape{world.size()}));
  return all;
}

Measured measure(const Deck& deck, const Mesh& mesh, const Engine& engine, int steps) {
  Communicator& world = *mesh.world;
  PhaseClock clock;
  Trainer trainer(engine.exec(), deck, mesh, clock);
  const SyntheticSamples data(deck.model.vocab_size, deck.model.seq_length, deck.seed);
  Measured m;
  std::vector<double> seconds;
  const auto gemm = [&] {
    const double mine = engine.gemm_rate(world, 2048, 0.3);
    m.gemm_rate = std::max(m.gemm_rate, world.reduce_value(mine, Reduction::sum));
  };
  for (int i = 0; i <= steps; ++i) {
    const auto first =
        static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(deck.train_batch_size);
    const auto tokens = trainer.layout().needs_tokens()
                            ? read_samples(data, trainer.layout().runs(first))
                            : std::vector<std::int32_t>();
    world.barrier();
    if (i == 1) clock.reset();  // step 0 warms up
    const double begin = now();
    (void)trainer.step(i + 1, first, tokens);
    const double mine = now() - begin;
    if (i > 0) seconds.push_back(world.reduce_value(mine, Reduction::max));
    if (world.rank() == 0) log::info("step {} of {}: {:.2f} s", i, steps, mine);
  }
  const std::int64_t process = peak_process_bytes();
  const MemoryUse device = engine.exec().device.memory();
  m.device_peaks = by_rank(world, device.peak);
  m.device_reserves = by_rank(world, device.reserved);
  gemm();  // beside the steps on a noisy machine, and after the memory was read
  gemm();
  std::ranges::sort(seconds);
  m.step_seconds = seconds[seconds.size() / 2];
  m.phases = clock.seconds();
  for (double& p : m.phases) p = world.reduce_value(p, Reduction::sum) / world.size() / steps;
  const std::int64_t kept =
      trainer.local_parameters() * 16 + static_cast<std::int64_t>(trainer.peak_tape_bytes());
  m.peak_bytes = world.reduce_count(process, Reduction::max);
  m.kept_bytes = world.reduce_count(kept, Reduction::max);
  return m;
}

}  // namespace

void bench(const DeckSource& source, const BenchOptions& options, const MpiSession& mpi) {
  Communicator& world = mpi.world();
  const Deck deck = load_deck(source, world, [](Deck& d) {
    TRM_REQUIRE(d.model.vocab_size > 0,
                "bench makes its own tokens: set vocab_size in the deck");
  });
  const Mesh mesh(mesh_shape(deck, world.size()), world);
  const Engine engine(deck, mpi);
  const Measured m = measure(deck, mesh, engine, options.steps);
  if (world.rank() != 0) return;
  print_start(deck, mesh, engine, m.gemm_rate, "synthetic tokens");
  const double rate =
      static_cast<double>(deck.train_batch_size * deck.model.seq_length) / m.step_seconds;
  const double flops = rate * flops_per_token(deck.model);
  log::info(
      "speed    {:.0f} tokens/s, {:.1f} GFLOP/s, {:.1f}% of the GEMM rate "
      "(6 N + 12 layers·hidden·s operations a token)",
      rate, flops * 1e-9, 100 * flops / m.gemm_rate);
  log::info("memory   {} MiB, {:.2f} × (parameters, gradients, moments and kept activations)",
            m.peak_bytes >> 20U,
            static_cast<double>(m.peak_bytes) / static_cast<double>(m.kept_bytes));
  for (std::size_t p = 0; p < kPhases; ++p) {
    log::info("phase    {:<14} {:.3f} s", kPhaseNames[p], m.phases[p]);
  }
  if (options.json.empty()) return;
  std::ofstream out(options.json);
  out << to_json(deck, m, world.size(), engine.threads(), rate, flops).dump(2) << '\n';
  TRM_REQUIRE(out.good(), "cannot write {}", options.json);
}

}  // namespace trireme
