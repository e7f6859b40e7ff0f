// SPDX-License-Identifier: Apache-2.0
// Measures the rates of this job's machine, and writes them as a file for `trireme plan`.
#include <algorithm>
#include <ctime>
#include <filesystem>

#include <fmt/chrono.h>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/deck/machine.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/machine.hpp"
#include "trireme/ops/elementwise.hpp"

#include "kernel_cases.hpp"
#include "links.hpp"
#include "parts.hpp"
#include "timed_trainer.hpp"

namespace trireme {

namespace {

/// What kernels reach on the slowest rank while all ranks measure.
class KernelRates {
 public:
  KernelRates(const Exec& ex, const Deck& deck, Communicator& world)
      : ex_(ex), world_(world), type_(deck.types.compute), kernels_(ex, deck) {}

  enum class Counted { operations, bytes };
  /// Operations or bytes a second of these groups in a step.
  double of(std::initializer_list<std::string_view> groups, Counted what) {
    double work = 0;
    double seconds = 0;
    for (const KernelCase& k : kernels_.all()) {
      if (k.calls == 0 || std::ranges::find(groups, k.group) == groups.end()) continue;
      world_.barrier();
      const auto calls = static_cast<double>(k.calls);
      const double taken = time_kernel(ex_, k);
      if (world_.rank() == 0) {
        log::info("{:<46} {:>12.1f} us a call, {}", k.name, taken * 1e6, name_of(type_));
      }
      seconds += calls * taken;
      work += calls * (what == Counted::bytes ? k.bytes : k.operations);
      ex_.device.trim();
    }
    return world_.reduce_value(work / seconds, Reduction::min);
  }

 private:
  const Exec& ex_;
  Communicator& world_;
  DType type_;
  KernelCases kernels_;
};

/// Seconds of an operation besides its work: many that have next to none.
double kernel_seconds(const Exec& ex, Communicator& world) {
  constexpr int kCalls = 1000;
  const Tensor x = ex.zeros(DType::f32, Shape{16});
  const double all = best_of_turns([&] {
    return together(ex, world, [&] {
      for (int i = 0; i < kCalls; ++i) ops::scale(ex, {.x = x, .factor = 1, .y = x});
    });
  });
  return all / kCalls;
}

/// The deck with its values, activations and gradients in another type.
Deck in_type(Deck deck, DType type) {
  deck.types.compute = type;
  deck.types.gradient = DType::f32;
  return deck;
}

void measure_kernels(const Engine& engine, const Deck& deck, Communicator& world, Machine& m) {
  const Exec& ex = engine.exec();
  using enum KernelRates::Counted;
  const bool half = size_of(deck.types.compute) < sizeof(float);
  const Deck other = in_type(deck, half ? DType::f32 : DType::bf16);
  KernelRates own(ex, deck, world);
  const double gemm = own.of({"GEMMs", "head"}, operations);
  const double other_gemm = KernelRates(ex, other, world).of({"GEMMs", "head"}, operations);
  m.gemm_fp32 = half ? other_gemm : gemm;
  m.gemm_half = half ? gemm : other_gemm;
  m.attention_share = own.of({"attention"}, operations) / gemm;
  m.memory_bandwidth =
      own.of({"norms", "activation", "elementwise", "cross entropy", "update"}, bytes);
  m.kernel_seconds = kernel_seconds(ex, world);
}

/// The nodes of the job, and this rank's place among them.
struct NodePlace {
  int nodes = 1;
  int node = 0;            ///< number of this rank's node, in the order of their first ranks
  int rank = 0;            ///< number of this rank on its node
  int ranks_per_node = 1;  ///< on the node with the most
};

NodePlace place_of(const MpiSession& mpi) {
  Communicator& world = mpi.world();
  const auto node = mpi.node();
  const int ranks = world.size();
  const auto first = node->reduce_count(world.rank(), Reduction::min);
  std::vector<std::int64_t> firsts(static_cast<std::size_t>(ranks));
  std::int64_t mine = first;
  world.all_gather(View(&mine, DType::i64, Shape{1}),
                   View(firsts.data(), DType::i64, Shape{ranks}));
  std::ranges::sort(firsts);
  firsts.erase(std::ranges::unique(firsts).begin(), firsts.end());
  return {.nodes = static_cast<int>(std::ssize(firsts)),
          .node = static_cast<int>(std::ranges::find(firsts, first) - firsts.begin()),
          .rank = node->rank(),
          .ranks_per_node = static_cast<int>(world.reduce_count(node->size(), Reduction::max))};
}

void measure_links(const Engine& engine, Communicator& everyone, Communicator& world,
                   const NodePlace& place, Machine& m) {
  const Exec& ex = engine.exec();
  const auto within = everyone.split(place.node, place.rank);
  m.overlap = measure_overlap(ex, everyone, world);
  if (place.ranks_per_node > 1) m.node = measure_link(ex, *within, world);
  if (place.nodes > 1) {
    // Neighbours in this order are on different nodes.
    const auto between = everyone.split(0, place.rank * place.nodes + place.node);
    m.network = measure_link(ex, *between, world);
  }
  if (place.ranks_per_node == 1) m.node = m.network;
  if (place.nodes == 1) m.network = m.node;
}

std::string link_text(const Link& link) {
  return fmt::format("{{bandwidth: {:.4g}, latency: {:.3g}}}", link.bandwidth * 1e-9,
                     link.latency * 1e6);
}

std::string file_text(const Machine& m, const NodePlace& place, int ranks,
                      const std::string& device) {
  std::string text = fmt::format(
      "# {}\n# Measured with `trireme bench --machine` on {:%Y-%m-%d}: {} ranks on {} node{}, "
      "all at work.\n",
      device, fmt::gmtime(std::time(nullptr)), ranks, place.nodes, place.nodes == 1 ? "" : "s");
  if (place.nodes == 1) {
    text += "# The job had one node: link.network repeats link.node. Enter your network's.\n";
  }
  if (place.ranks_per_node == 1) {
    text += "# Nodes had one rank: link.node repeats link.network.\n";
  }
  text += fmt::format(
      "machine:\n  name: \"{}\"\n  device: {}\n  gemm_tflops: {{fp32: {:.4g}, bf16: "
      "{:.4g}}}\n  attention_share: {:.3g}\n  memory_bandwidth: {:.4g}\n"
      "  kernel_latency: {:.3g}\n  overlap: {:.2f}\n  link:\n    node: {}\n    network: {}\n"
      "  ranks_per_node: {}\n",
      m.name, m.has_gpus ? "cuda" : "cpu", m.gemm_fp32 * 1e-12, m.gemm_half * 1e-12,
      m.attention_share, m.memory_bandwidth * 1e-9, m.kernel_seconds * 1e6, m.overlap,
      link_text(m.node), link_text(m.network), m.ranks_per_node);
  if (m.device_memory > 0) {
    text += fmt::format("  device_memory: {}MiB\n", m.device_memory >> 20U);
  }
  return text;
}

void report(const Machine& m, const std::string& device, double all_reduce, double disk,
            const std::string& folder) {
  log::info("compute  {}", device);
  log::info(
      "GEMMs    {:.1f} GFLOP/s a rank in fp32, {:.1f} in bf16; attention at {:.0f} % of it",
      m.gemm_fp32 * 1e-9, m.gemm_half * 1e-9, 100 * m.attention_share);
  log::info("memory   {:.1f} GB/s a rank; {:.2f} us an operation besides its work",
            m.memory_bandwidth * 1e-9, m.kernel_seconds * 1e6);
  log::info("node     {:.2f} GB/s that a rank sends, {:.2f} us a message",
            m.node.bandwidth * 1e-9, m.node.latency * 1e6);
  log::info("network  {:.2f} GB/s that a rank sends, {:.2f} us a message",
            m.network.bandwidth * 1e-9, m.network.latency * 1e6);
  log::info(
      "sums     {:.2f} GB/s that a rank sends in an all-reduce; computation hides {:.0f} % "
      "of a gather",
      all_reduce * 1e-9, 100 * m.overlap);
  log::info("disk     {:.1f} MB/s by all ranks together in {}", disk * 1e-6, folder);
}

}  // namespace

void bench_machine(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi) {
  Communicator& world = mpi.world();
  if (world.size() == 1) {
    throw Error(
        "bench --machine measures the connection between ranks, and needs two or more. Start "
        "it "
        "as your runs start, such as mpirun -np 2 trireme bench DECK --machine FILE");
  }
  const Deck deck = load_bench_deck(source, world);
  if (classifies(deck.model.task)) {
    Error error(
        "bench --machine measures the kernels of a model that predicts tokens: name "
        "such a deck");
    throw error.set_everywhere();
  }
  const std::filesystem::path parent = std::filesystem::path(options.machine).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const double disk = disk_rate(folder, world);  // first, since an unknown folder ends it
  const NodeFacts node = look_at_node();
  const NodePlace place = place_of(mpi);
  const Engine engine(deck, mpi);
  Machine m;
  m.has_gpus = engine.on_gpu();
  m.ranks_per_node = place.ranks_per_node;
  m.name = printable(engine.on_gpu() ? engine.exec().device.name() : node.processor);
  std::ranges::replace(m.name, '"', '\'');
  m.device_memory = engine.on_gpu() ? static_cast<std::int64_t>(engine.gpu_memory())
                                    : node.available / place.ranks_per_node;
  m.device_memory = world.reduce_count(m.device_memory, Reduction::min);
  measure_kernels(engine, deck, world, m);
  const Mesh mesh = engine.mesh({.dp = world.size()}, world);
  measure_links(engine, mesh.everyone(), world, place, m);
  const double all_reduce = all_reduce_rate(engine.exec(), mesh.everyone(), world);
  collectively(world, [&] {
    if (world.rank() != 0) return;
    report(m, engine.describe(), all_reduce, disk, folder);
    const std::string text = file_text(m, place, world.size(), engine.describe());
    (void)parse_machine(text, options.machine);
    replace_text(options.machine, text, Durability::process);
    log::info("wrote {}: trireme plan DECK --ranks N --machine {}", options.machine,
              options.machine);
    if (place.nodes == 1) {
      log::warn(
          "the job has one node, so that no network was measured: enter link.network in "
          "{} before you plan runs on several nodes",
          options.machine);
    }
  });
}

}  // namespace trireme
