// SPDX-License-Identifier: Apache-2.0
// A small table that shows which host does what in the mesh, whatever the number of hosts.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "trireme/comm/mesh.hpp"

namespace trireme {

/// The host and device on which a rank runs.
struct RankPlace {
  std::string host;
  std::string device;  ///< "cpu, 2 threads"; a GPU's name without its number
};

/// Lines of a table with a heading: hosts, ranks, devices, and the ranges of dp, tp and pp.
/// Expects `places` in rank order. Neighbouring hosts, ordered by their first rank, share a
/// line if their ranks do similar work. All hosts of a line first have equal stages. If more
/// than `most` lines remain, hosts with equally many ranks, devices and indices share a line.
/// Numbers in brackets are then what each host holds. Lines beyond `most` are left out; the
/// last line counts their hosts.
[[nodiscard]] std::vector<std::string> mesh_table(const MeshShape& shape,
                                                  const std::vector<RankPlace>& places,
                                                  std::size_t most);

/// "node01–node12 (12 hosts)" where the names count up, otherwise "a … z (26 hosts)".
[[nodiscard]] std::string host_range(const std::vector<std::string>& names);

/// Ascending numbers in short: "0–7", "0, 2" or "0 … 28 (8)".
[[nodiscard]] std::string number_range(const std::vector<int>& numbers);

}  // namespace trireme
