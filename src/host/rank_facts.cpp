// SPDX-License-Identifier: Apache-2.0
// Gathers facts of all ranks, sent as texts.
#include "trireme/host/rank_facts.hpp"

#include <array>
#include <cstdlib>
#include <map>
#include <unordered_map>

namespace trireme {

std::vector<RankFacts> gather_facts(const Engine& engine, const MpiSession& mpi) {
  // One rank of a node reads the node's facts for all.
  const std::string node = mpi.node()->rank() == 0 ? to_text(look_at_node()) : "";
  const Device& device = engine.exec().device;
  const auto texts = mpi.world().gather_text(
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", host_name(), device.name(), engine.gpu_id(),
                  engine.gpu_memory(), engine.threads(), engine.processors().all, node),
      0);
  std::vector<RankFacts> all;
  std::unordered_map<std::string, NodeFacts> nodes;
  for (const std::string& text : texts) {
    std::array<std::string, 7> words;
    std::size_t begin = 0;
    for (std::string& word : words) {
      const auto end = text.find('\n', begin);
      word = text.substr(begin, end - begin);
      begin = end + 1;
    }
    if (!words[6].empty()) nodes[words[0]] = node_facts_of(words[6]);
    all.push_back({words[0],
                   words[1],
                   words[2],
                   std::atoll(words[3].c_str()),
                   std::atoi(words[4].c_str()),
                   std::atoi(words[5].c_str()),
                   {}});
  }
  for (RankFacts& facts : all) facts.node = nodes[facts.host];
  return all;
}

std::vector<std::string> crowding(const std::vector<RankFacts>& ranks, double busy) {
  struct Host {
    int ranks = 0;
    int threads = 0;
    int processors = 1;
  };
  std::map<std::string, Host> hosts;
  for (const RankFacts& facts : ranks) {
    if (!facts.gpu.empty()) return {};
    Host& host = hosts[facts.host];
    ++host.ranks;
    host.threads += facts.threads;
    host.processors = facts.processors;
  }
  std::vector<std::string> lines;
  std::size_t crowded = 0;
  for (const auto& [name, host] : hosts) {
    if (host.threads <= host.processors || ++crowded > 1) continue;
    lines.push_back(fmt::format(
        "{} threads of {} rank{} share {} processor{} of {}: they wait for each other",
        host.threads, host.ranks, host.ranks == 1 ? "" : "s", host.processors,
        host.processors == 1 ? "" : "s", name));
  }
  if (crowded > 1) lines.back() += fmt::format(" ({} more hosts alike)", crowded - 1);
  constexpr double kOwn = 0.8;  // the measurement lasts some time slices only
  if (crowded == 0 && busy < kOwn) {
    lines.push_back(fmt::format(
        "other jobs share the processors: threads had one for {:.0f} % of the time, and the "
        "rate of GEMMs is too low",
        100 * busy));
  }
  return lines;
}

}  // namespace trireme
