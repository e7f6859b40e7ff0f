// SPDX-License-Identifier: Apache-2.0
// Reads a node's facts from /proc and /sys.
#include "trireme/host/machine.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "trireme/host/processors.hpp"

namespace trireme {

namespace {

/// The text after `name` and a colon in a file of such lines; "" if the file has no such line.
std::string value_in(const std::string& path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const auto colon = line.find(':');
    const auto begin =
        line.find_first_not_of(" \t", colon == std::string::npos ? 0 : colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return {};
}

/// The number at the beginning of a text; 0 if there is none.
std::int64_t number_in(const std::string& text) {
  std::int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int count_processors(const std::string& path) {
  std::ifstream file(path);
  int n = 0;
  for (std::string line; std::getline(file, line);) n += line.starts_with("processor") ? 1 : 0;
  return n;
}

int count_numa_nodes(const std::string& folder) {
  std::error_code error;
  int n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    n += name.starts_with("node") && name.find_first_not_of("0123456789", 4) == name.npos;
  }
  return n;
}

/// The lowest memory limit of this process's control group and of those around it; 0 if there
/// is none. Lines of version 2 read "0::/PATH", of version 1 "N:memory:/PATH".
std::int64_t control_group_limit(const std::string& root) {
  std::int64_t least = 0;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const bool newer = line.starts_with("0::");
    const auto place = line.find(newer ? "/" : ":memory:/");
    if (place == std::string::npos) continue;
    const std::string base = root + (newer ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
    const char* name = newer ? "/memory.max" : "/memory.limit_in_bytes";
    std::string path = line.substr(line.find('/', place));
    for (bool more = true; more; path.resize(path.empty() ? 0 : path.rfind('/'))) {
      more = !path.empty();
      const std::int64_t limit = number_in(first_line(base + path + name));
      if (limit > 0 && (least == 0 || limit < least)) least = limit;
    }
  }
  return least;
}

}  // namespace

NodeFacts look_at_node(const std::string& root) {
  NodeFacts facts;
  facts.processor = value_in(root + "/proc/cpuinfo", "model name");
  facts.processors = count_processors(root + "/proc/cpuinfo");
  const std::vector<std::uint8_t> all(static_cast<std::size_t>(facts.processors), 1);
  facts.cores = static_cast<int>(std::ranges::count(cores_of(all, root), std::uint8_t{1}));
  facts.numa_nodes = count_numa_nodes(root + "/sys/devices/system/node");
  facts.memory = number_in(value_in(root + "/proc/meminfo", "MemTotal:")) * 1024;
  facts.available = number_in(value_in(root + "/proc/meminfo", "MemAvailable:")) * 1024;
  const std::int64_t limit = control_group_limit(root);
  if (limit > 0 && facts.available > 0) facts.available = std::min(facts.available, limit);
  return facts;
}

std::string gpu_driver_version() {
  // The line reads "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  …".
  std::istringstream words(first_line("/proc/driver/nvidia/version"));
  for (std::string word; words >> word;) {
    if (word.find_first_not_of("0123456789.") == word.npos) return word;
  }
  return {};
}

std::string to_text(const NodeFacts& facts) {
  return fmt::format("{} {} {} {} {} {}", facts.processors, facts.cores, facts.numa_nodes,
                     facts.memory, facts.available, facts.processor);
}

NodeFacts node_facts_of(const std::string& text) {
  NodeFacts facts;
  std::istringstream words(text);
  words >> facts.processors >> facts.cores >> facts.numa_nodes >> facts.memory >>
      facts.available >> std::ws;
  std::getline(words, facts.processor);
  return facts;
}

}  // namespace trireme
