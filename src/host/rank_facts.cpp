// SPDX-License-Identifier: Apache-2.0
// Gathers facts of all ranks, sent as texts.
#include "trireme/host/rank_facts.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <string_view>
#include <unordered_map>

#include "trireme/backend/cuda.hpp"

namespace trireme {

namespace {

struct Host {
  int ranks = 0;
  int threads = 0;
  int most_threads = 0;                ///< a rank's
  int cores = 1;                       ///< which the job may use
  int idle = 0;                        ///< others of the host
  const RankFacts* crowded = nullptr;  ///< a rank with more threads than cores
  int crowded_rank = 0;
  std::string slow;
};

std::map<std::string, Host> by_host(const std::vector<RankFacts>& ranks) {
  std::map<std::string, Host> hosts;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const RankFacts& facts = ranks[i];
    Host& host = hosts[facts.host];
    ++host.ranks;
    host.threads += facts.threads;
    host.most_threads = std::max(host.most_threads, facts.threads);
    host.cores = facts.cores;
    host.idle = std::max(0, facts.node.cores - facts.cores);
    if (host.slow.empty()) host.slow = facts.slow;
    if (host.crowded != nullptr || facts.threads <= facts.own_cores) continue;
    host.crowded = &facts;
    host.crowded_rank = static_cast<int>(i);
  }
  return hosts;
}

std::string many(int n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

/// The remedy where the host has cores that the job may not use.
std::string remedy(const Host& host) {
  if (host.idle == 0) return "";
  return fmt::format("; {} of the host are idle: {}", host.idle,
                     how_to_unbind(host.most_threads));
}

struct Trouble {
  std::string_view kind;
  std::string text;
  int more = 0;  ///< other hosts with such a trouble
};

Trouble trouble_of(const std::string& name, const Host& host, bool bound) {
  if (host.threads > host.cores) {
    return {"threads", fmt::format("{} of {} share {} of {}: they wait for each other{}",
                                   many(host.threads, "thread"), many(host.ranks, "rank"),
                                   many(host.cores, "core"), name, remedy(host))};
  }
  if (host.crowded != nullptr) {
    return {"rank", fmt::format("{} of rank {} share {} of {}: {}",
                                many(host.crowded->threads, "thread"), host.crowded_rank,
                                many(host.crowded->own_cores, "core"), name,
                                how_to_unbind(host.most_threads))};
  }
  if (!host.slow.empty()) return {"slow", fmt::format("{}: {}", name, host.slow)};
  if (bound && host.idle > 0) {
    const int possible = std::max(1, (host.cores + host.idle) / host.ranks);
    return {"idle",
            fmt::format("mpirun lets {} use {} of {} on {}; for more threads {}",
                        many(host.ranks, "rank"), host.cores,
                        many(host.cores + host.idle, "core"), name, how_to_unbind(possible))};
  }
  return {};
}

/// On one line, which the texts of ranks have for each fact.
std::string visible_gpus() {
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  std::string text = visible == nullptr ? "" : visible;
  std::ranges::replace(text, '\n', ' ');
  return text;
}

}  // namespace

std::vector<RankFacts> gather_facts(const Engine& engine, const MpiSession& mpi) {
  // One rank of a node reads the node's facts for all.
  const std::string node = mpi.node()->rank() == 0 ? to_text(look_at_node()) : "";
  const Device& device = engine.exec().device;
  const std::string slow = engine.on_gpu() ? "" : slow_setting(processor_mask());
  const auto texts = mpi.world().gather_text(
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", host_name(), device.name(),
                  engine.gpu_id(), engine.gpu_memory(), engine.threads(), engine.cores().all,
                  engine.cores().mine, slow, engine.on_gpu() ? cuda_device_count() : 0,
                  visible_gpus(), node),
      0);
  std::vector<RankFacts> all;
  std::unordered_map<std::string, NodeFacts> nodes;
  for (const std::string& text : texts) {
    std::array<std::string, 11> words;
    std::size_t begin = 0;
    for (std::string& word : words) {
      const auto end = text.find('\n', begin);
      word = text.substr(begin, end - begin);
      begin = end + 1;
    }
    if (!words[10].empty()) nodes[words[0]] = node_facts_of(words[10]);
    all.push_back({words[0],
                   words[1],
                   words[2],
                   std::atoll(words[3].c_str()),
                   std::atoi(words[4].c_str()),
                   std::atoi(words[5].c_str()),
                   std::atoi(words[6].c_str()),
                   words[7],
                   {},
                   std::atoi(words[8].c_str()),
                   words[9]});
  }
  for (RankFacts& facts : all) facts.node = nodes[facts.host];
  return all;
}

std::vector<std::string> crowding(const std::vector<RankFacts>& ranks, double busy,
                                  bool bound) {
  for (const RankFacts& facts : ranks) {
    if (!facts.gpu.empty()) return {};
  }
  std::vector<Trouble> troubles;  // one of each kind stands for all hosts
  for (const auto& [name, host] : by_host(ranks)) {
    const Trouble found = trouble_of(name, host, bound);
    if (found.text.empty()) continue;
    const auto same = std::ranges::find(troubles, std::string_view(found.kind), &Trouble::kind);
    if (same == troubles.end()) {
      troubles.push_back(found);
    } else {
      ++same->more;
    }
  }
  std::vector<std::string> lines;
  for (const Trouble& t : troubles) {
    lines.push_back(t.text);
    if (t.more == 0) continue;
    lines.back() += fmt::format(" ({} alike)", many(t.more, "more host"));
  }
  constexpr double kOwn = 0.8;  // the measurement lasts some time slices only
  if (lines.empty() && busy < kOwn) {
    lines.push_back(fmt::format(
        "other jobs share the processors: threads had one for {:.0f} % of the time, and the "
        "rate of GEMMs is too low",
        100 * busy));
  }
  return lines;
}

}  // namespace trireme
