// SPDX-License-Identifier: Apache-2.0
// Counts cores by the operating system's masks.
#include "trireme/host/processors.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "trireme/backend/cpu.hpp"

namespace trireme {

namespace {

std::string line_in(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string processor_folder(const std::string& root, std::size_t processor) {
  return fmt::format("{}/sys/devices/system/cpu/cpu{}", root, processor);
}

/// Whether a list of numbers and ranges, "0-3,8", has `number`.
bool list_has(const std::string& list, std::int64_t number) {
  const char* at = list.data();
  const char* const end = at + list.size();
  while (at != end) {
    std::int64_t first = 0;
    const auto [next, error] = std::from_chars(at, end, first);
    if (error != std::errc()) return false;
    at = next;
    std::int64_t last = first;
    if (at != end && *at == '-') at = std::from_chars(at + 1, end, last).ptr;
    if (first <= number && number <= last) return true;
    if (at != end) ++at;
  }
  return false;
}

/// The NUMA node of a processor; nothing if unknown.
std::optional<int> numa_node_of(const std::string& root, std::size_t processor) {
  for (int node = 0;; ++node) {
    const std::string list =
        line_in(fmt::format("{}/sys/devices/system/node/node{}/cpulist", root, node));
    if (list.empty()) return std::nullopt;
    if (list_has(list, static_cast<std::int64_t>(processor))) return node;
  }
}

/// The NUMA nodes from which this process may take memory, as a list; "" if unknown.
std::string memory_nodes(const std::string& root) {
  constexpr std::string_view kName = "Mems_allowed_list:";
  std::ifstream file(root + "/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kName)) continue;
    const auto begin = line.find_first_not_of(" \t", kName.size());
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return {};
}

NodeShare share_of(std::vector<std::uint8_t> mask, const MpiSession& mpi) {
  const auto node = mpi.node();
  const auto count = [&] { return std::ranges::count(mask, std::uint8_t{1}); };
  const std::int64_t mine = count();
  const std::int64_t claimed = node->reduce_count(mine, Reduction::sum);
  node->all_reduce(View(mask.data(), DType::u8, Shape{static_cast<std::int64_t>(mask.size())}),
                   Reduction::max);
  // Bound ranks claim cores of their own; unbound ranks all claim the same cores.
  const std::int64_t share = std::max<std::int64_t>(1, mine * count() / claimed);
  return {static_cast<int>(count()), static_cast<int>(mine), static_cast<int>(share)};
}

}  // namespace

std::vector<std::uint8_t> cores_of(const std::vector<std::uint8_t>& processors,
                                   const std::string& root) {
  std::vector<std::uint8_t> cores(processors.size());
  for (std::size_t i = 0; i < processors.size(); ++i) {
    if (processors[i] == 0) continue;
    // The file lists the core's hardware threads, "0,64": the first stands for the core.
    const std::string list =
        line_in(processor_folder(root, i) + "/topology/thread_siblings_list");
    std::size_t core = i;
    const auto [end, error] = std::from_chars(list.data(), list.data() + list.size(), core);
    cores[error == std::errc() && core < cores.size() ? core : i] = 1;
  }
  return cores;
}

NodeShare node_cores(const MpiSession& mpi) {
  return share_of(cores_of(processor_mask()), mpi);
}

NodeShare node_processors(const MpiSession& mpi) { return share_of(processor_mask(), mpi); }

int threads_of_rank(int wanted, const NodeShare& node) {
  if (wanted > 0) return wanted;
  if (const char* text = std::getenv("OMP_NUM_THREADS"); text != nullptr) {
    int n = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), n);
    if (error == std::errc() && n > 0) return n;
  }
  return node.share;
}

std::string how_to_unbind(int threads) {
  if (std::getenv("OMPI_COMM_WORLD_RANK") != nullptr) {
    return fmt::format("start with mpirun --bind-to none, or --map-by slot:PE={}", threads);
  }
  if (std::getenv("SLURM_PROCID") != nullptr) {
    return fmt::format("start with srun --cpus-per-task={}", threads);
  }
  if (std::getenv("PMI_RANK") != nullptr) {
    return fmt::format("start with mpiexec -bind-to core:{}", threads);
  }
  return "let the process use more of them (taskset, or the job's request)";
}

bool bound_by_launcher() { return std::getenv("OMPI_MCA_orte_bound_at_launch") != nullptr; }

std::string slow_setting(const std::vector<std::uint8_t>& processors, const std::string& root) {
  const std::string memory = memory_nodes(root);
  for (std::size_t i = 0; i < processors.size(); ++i) {
    if (processors[i] == 0) continue;
    const std::string frequency = processor_folder(root, i) + "/cpufreq/";
    const std::string driver = line_in(frequency + "scaling_driver");
    const std::string governor = line_in(frequency + "scaling_governor");
    // Drivers that choose the frequency themselves call this name their usual mode.
    const bool own_choice =
        driver.starts_with("intel_pstate") || driver.starts_with("amd-pstate");
    if (governor == "powersave" && !own_choice) {
      return fmt::format(
          "processor {} runs at its lowest frequency: its governor is "
          "powersave; an administrator can set performance",
          i);
    }
    const auto node = numa_node_of(root, i);
    if (node && !memory.empty() && !list_has(memory, *node)) {
      return fmt::format(
          "processor {} is of NUMA node {}, but memory comes from node {} alone: "
          "let both be of one node (numactl --cpunodebind, --membind)",
          i, *node, memory);
    }
  }
  return {};
}

}  // namespace trireme
