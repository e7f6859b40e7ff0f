// SPDX-License-Identifier: Apache-2.0
// Compares the update with loops that only move memory. Bytes are counted as in STREAM: bytes
// that a loop reads and writes. Cache lines that a store fetches first are not counted.
#include "trireme/ops/update.hpp"

#include <algorithm>

#include "trireme/backend/cpu.hpp"
#include "trireme/core/log.hpp"

#include "parts.hpp"
#include "timed_trainer.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kElements = 1 << 27;  // over all ranks: 512 MiB of fp32 an array
constexpr int kTurns = 9;

/// A loop that is timed repeatedly, and the bytes that it moves.
struct Loop {
  const char* name;
  int bytes;  ///< bytes an element
  std::function<void()> run;
  std::vector<double> rates = {};  ///< bytes a second, over all ranks
};

/// Seconds of `work` on this rank, by the device's clock.
double time_of(const Exec& ex, const std::function<void()>& work) {
  const auto begin = ex.stream.record_timed();
  work();
  const auto end = ex.stream.record_timed();
  end->synchronize();
  return end->seconds_since(*begin);
}

void turn(Loop& loop, const Exec& ex, std::int64_t elements, Communicator& world, bool counts) {
  world.barrier();
  const double seconds = world.reduce_value(time_of(ex, loop.run), Reduction::max);
  const auto bytes = static_cast<double>(elements) * loop.bytes * world.size();
  if (counts) loop.rates.push_back(bytes / seconds);
}

/// Copies b = a; on a CPU with a loop written here.
std::function<void()> copy_loop(const Engine& engine, const std::array<View, 5>& arrays) {
  if (!engine.on_gpu()) return [&arrays] { run_stream_loop(StreamLoop::copy, arrays); };
  return [&ex = engine.exec(), &arrays] {
    ex.device.copy(arrays[1].raw(), arrays[0].raw(), arrays[0].bytes(), ex.stream);
  };
}

/// The ratio of both rates in each turn.
std::vector<double> ratios(const Loop& update, const Loop& loop) {
  std::vector<double> all;
  for (std::size_t i = 0; i < update.rates.size(); ++i) {
    all.push_back(update.rates[i] / loop.rates[i]);
  }
  return all;
}

/// An update by its place in a list of loops, and the loops to hold it against.
using Comparison = std::pair<std::size_t, std::vector<std::size_t>>;

void report(const std::vector<Loop>& loops, const std::vector<Comparison>& comparisons,
            const std::string& json, int ranks, int threads) {
  nlohmann::ordered_json figures;
  for (const Loop& loop : loops) {
    log::info("{:<28} {:.2f} GB/s, {} bytes an element", loop.name, median(loop.rates) * 1e-9,
              loop.bytes);
    figures.push_back({{"name", loop.name}, {"bytes", loop.bytes}, {"rates", loop.rates}});
  }
  nlohmann::ordered_json compared;
  for (const auto& [update, others] : comparisons) {
    for (const std::size_t loop : others) {
      const double ratio = median(ratios(loops[update], loops[loop]));
      log::info("{} at {:.1f} % of {}", loops[update].name, 100 * ratio, loops[loop].name);
      compared.push_back(
          {{"update", loops[update].name}, {"loop", loops[loop].name}, {"ratio", ratio}});
    }
  }
  write_json(json, {{"case", "update"},
                    {"elements", kElements},
                    {"ranks", ranks},
                    {"threads", threads},
                    {"loops", figures},
                    {"ratios", compared}});
}

}  // namespace

double copy_rate(const Engine& engine, Communicator& world) {
  constexpr std::int64_t kCopied = 1 << 26;
  constexpr int kPasses = 5;
  std::array<View, 5> arrays;
  const Tensor from = engine.exec().zeros(DType::f32, Shape{kCopied});
  const Tensor to = engine.exec().zeros(DType::f32, Shape{kCopied});
  arrays.fill(from);
  arrays[1] = to;
  double best = 0;
  for (int i = 0; i < kPasses; ++i) {
    world.barrier();
    const double mine = time_of(engine.exec(), copy_loop(engine, arrays));
    const double seconds = world.reduce_value(mine, Reduction::max);
    best = std::max(best, static_cast<double>(to.view().bytes()) / seconds);
  }
  return best;
}

void bench_update(const DeckSource& source, const BenchOptions& options,
                  const MpiSession& mpi) {
  Communicator& world = mpi.world();
  const Deck deck = load_bench_deck(source, world);
  const Engine engine(deck, mpi);
  const Exec& ex = engine.exec();
  const std::int64_t n = kElements / world.size();
  std::vector<Tensor> tensors;
  std::array<View, 5> arrays;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    tensors.push_back(ex.zeros(i < 4 ? DType::f32 : DType::bf16, Shape{n}));
    arrays[i] = tensors.back();
  }
  const AdamwStep step{.lr = 1e-3,
                       .beta1 = 0.9,
                       .beta2 = 0.95,
                       .epsilon = 1e-8,
                       .weight_decay = 0.1,
                       .gradient_scale = 0.5,
                       .step = 10};
  const auto adamw = [&](const View& copy) {
    ops::adamw(ex, {.step = step,
                    .gradient = arrays[0],
                    .value = arrays[1],
                    .exp_avg = arrays[2],
                    .exp_avg_sq = arrays[3],
                    .copy = copy});
  };
  const auto stream = [&](StreamLoop loop) {
    return [&arrays, loop] { run_stream_loop(loop, arrays); };
  };
  const Loop alone{"AdamW, fp32", 28, [&] { adamw({}); }};
  const Loop mixed{"AdamW, fp32 with bf16 copy", 30, [&] { adamw(arrays[4]); }};
  std::vector<Loop> loops = {{"copy", 8, copy_loop(engine, arrays)}};
  std::vector<Comparison> comparisons;
  if (engine.on_gpu()) {
    loops.insert(loops.end(), {alone, mixed});
    comparisons = {{1, {0}}, {2, {0}}};
  } else {
    loops.insert(loops.end(),
                 {{"triad", 12, stream(StreamLoop::triad)},
                  {"update loop", 28, stream(StreamLoop::update)},
                  alone,
                  {"update loop with bf16 copy", 30, stream(StreamLoop::mixed_update)},
                  mixed});
    comparisons = {{3, {0, 1, 2}}, {5, {0, 1, 4}}};
  }
  for (int i = 0; i <= kTurns; ++i) {
    for (Loop& loop : loops) turn(loop, ex, n, world, i > 0);  // turn 0 warms up
    if (world.rank() == 0) log::info("turn {} of {}", i, kTurns);
  }
  if (world.rank() == 0) {
    report(loops, comparisons, options.json, world.size(), engine.threads());
  }
}

}  // namespace trireme
