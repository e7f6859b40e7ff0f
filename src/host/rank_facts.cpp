// SPDX-License-Identifier: Apache-2.0
// Gathers facts of all ranks, sent as texts.
#include "trireme/host/rank_facts.hpp"

#include <array>
#include <cstdlib>
#include <unordered_map>

namespace trireme {

std::vector<RankFacts> gather_facts(const Engine& engine, const MpiSession& mpi) {
  // One rank of a node reads the node's facts for all.
  const std::string node = mpi.node()->rank() == 0 ? to_text(look_at_node()) : "";
  const Device& device = engine.exec().device;
  const auto texts = mpi.world().gather_text(
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", host_name(), device.name(), engine.gpu_id(),
                  engine.gpu_memory(), engine.threads(), node),
      0);
  std::vector<RankFacts> all;
  std::unordered_map<std::string, NodeFacts> nodes;
  for (const std::string& text : texts) {
    std::array<std::string, 6> words;
    std::size_t begin = 0;
    for (std::string& word : words) {
      const auto end = text.find('\n', begin);
      word = text.substr(begin, end - begin);
      begin = end + 1;
    }
    if (!words[5].empty()) nodes[words[0]] = node_facts_of(words[5]);
    all.push_back({words[0],
                   words[1],
                   words[2],
                   std::atoll(words[3].c_str()),
                   std::atoi(words[4].c_str()),
                   {}});
  }
  for (RankFacts& facts : all) facts.node = nodes[facts.host];
  return all;
}

}  // namespace trireme
