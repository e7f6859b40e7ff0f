// SPDX-License-Identifier: Apache-2.0
// Explains which GPUs the ranks of each host took.
#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "trireme/host/rank_facts.hpp"

namespace trireme {

namespace {

struct GpuHost {
  int ranks = 0;
  int seen = 0;  ///< GPUs that a rank sees, at most
  std::set<std::string> gpus;
  std::set<std::string> visible;
  bool sliced = false;
};

/// Without the number: "cuda:0 NVIDIA H100" becomes "NVIDIA H100".
std::string model_of(const std::string& device) {
  return device.substr(std::min(device.find(' '), device.size() - 1) + 1);
}

std::string counted(std::size_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

/// CUDA shows a process one slice of a GPU that is divided, whatever CUDA_VISIBLE_DEVICES
/// lists.
std::string sharing(const std::string& name, const GpuHost& host) {
  const std::string ranks = counted(static_cast<std::size_t>(host.ranks), "rank");
  if (host.sliced) {
    return fmt::format(
        "{} of {} share {} of a GPU (MIG): a process sees one; set CUDA_VISIBLE_DEVICES of "
        "each "
        "rank to the UUID of another, which nvidia-smi -L lists",
        ranks, name, counted(host.gpus.size(), "slice"));
  }
  return fmt::format(
      "{} of {} share {}, in the order of their numbers: start as many ranks as GPUs", ranks,
      name, counted(host.gpus.size(), "GPU"));
}

/// What is unusual on one host; "" if each rank has a GPU, and each GPU a rank.
std::string choice_of(const std::string& name, const GpuHost& host) {
  if (static_cast<std::size_t>(host.ranks) > host.gpus.size()) return sharing(name, host);
  if (static_cast<std::size_t>(host.seen) > host.gpus.size()) {
    return fmt::format("{} of {} GPUs of {} are idle: start a rank for each",
                       static_cast<std::size_t>(host.seen) - host.gpus.size(), host.seen, name);
  }
  if (host.visible.size() == 1 && !host.visible.begin()->empty()) {
    return fmt::format("the ranks of {} take GPUs as CUDA_VISIBLE_DEVICES lists them: {}", name,
                       *host.visible.begin());
  }
  if (host.visible.size() > 1) {
    return fmt::format("each rank of {} takes the GPU that its CUDA_VISIBLE_DEVICES names",
                       name);
  }
  return "";
}

}  // namespace

std::vector<std::string> gpu_choice(const std::vector<RankFacts>& ranks) {
  std::map<std::string, GpuHost> hosts;
  std::map<std::string, int> models;
  for (const RankFacts& facts : ranks) {
    if (facts.gpu.empty()) return {};
    GpuHost& host = hosts[facts.host];
    ++host.ranks;
    host.seen = std::max(host.seen, facts.gpus_seen);
    host.gpus.insert(facts.gpu);
    host.visible.insert(facts.visible);
    host.sliced = host.sliced || facts.device.find(" MIG ") != std::string::npos;
    ++models[model_of(facts.device)];
  }
  std::vector<std::string> lines;
  int more = 0;
  for (const auto& [name, host] : hosts) {
    std::string line = choice_of(name, host);
    if (line.empty()) continue;
    if (lines.empty()) {
      lines.push_back(std::move(line));
    } else {
      ++more;
    }
  }
  if (more > 0) {
    lines.back() += fmt::format(" ({} with such a choice)",
                                counted(static_cast<std::size_t>(more), "more host"));
  }
  if (models.size() > 1) {
    std::vector<std::string> counts;
    for (const auto& [model, count] : models) {
      counts.push_back(fmt::format("{} × {}", count, model));
    }
    lines.push_back(fmt::format("GPUs are unlike, and each step waits for the slowest: {}",
                                fmt::join(counts, ", ")));
  }
  return lines;
}

}  // namespace trireme
