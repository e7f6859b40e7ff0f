// SPDX-License-Identifier: Apache-2.0
// Facts about this rank's node, read from the operating system.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

struct NodeFacts {
  std::string processor;    ///< "Intel(R) Xeon(R) …"; "" if unknown
  int processors = 0;       ///< hardware threads
  int cores = 0;            ///< without the further hardware threads of a core
  int numa_nodes = 0;       ///< 0 if unknown
  std::int64_t memory = 0;  ///< bytes
  /// bytes that this job can have: free or easily freed, and within the control group's limit;
  /// 0 if unknown
  std::int64_t available = 0;
  friend bool operator==(const NodeFacts&, const NodeFacts&) = default;
};

/// Reads /proc and /sys below `root`, which is "" except in tests.
[[nodiscard]] NodeFacts look_at_node(const std::string& root = "");

/// The version of NVIDIA's driver, "535.104.05"; "" without a driver.
[[nodiscard]] std::string gpu_driver_version();

/// Converts facts to and from a text, which ranks send each other.
[[nodiscard]] std::string to_text(const NodeFacts& facts);
[[nodiscard]] NodeFacts node_facts_of(const std::string& text);

}  // namespace trireme
