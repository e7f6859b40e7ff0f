// SPDX-License-Identifier: Apache-2.0
// The node that this rank is on, as the system tells of it.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

struct NodeFacts {
  std::string processor;       ///< "Intel(R) Xeon(R) …"; "" if not told
  int cores = 0;               ///< processors as the system counts them, threads of a core too
  int numa_nodes = 0;          ///< 0 if not told
  std::int64_t memory = 0;     ///< bytes
  std::int64_t available = 0;  ///< of that, for this job: free or easily freed, and within
                               ///< the limit of its control group; 0 if not told
  friend bool operator==(const NodeFacts&, const NodeFacts&) = default;
};

/// From /proc and /sys below `root` ("" but in tests).
[[nodiscard]] NodeFacts look_at_node(const std::string& root = "");

/// "535.104.05" of NVIDIA's driver; "" without one.
[[nodiscard]] std::string gpu_driver_version();

/// For a text between ranks.
[[nodiscard]] std::string to_text(const NodeFacts& facts);
[[nodiscard]] NodeFacts node_facts_of(const std::string& text);

}  // namespace trireme
