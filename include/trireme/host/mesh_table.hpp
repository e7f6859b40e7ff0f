// SPDX-License-Identifier: Apache-2.0
// Which host does what in the mesh, as a small table whatever the number of hosts.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "trireme/comm/mesh.hpp"

namespace trireme {

/// Where a rank runs.
struct RankPlace {
  std::string host;
  std::string device;  ///< "cpu, 2 threads"; of a GPU without its number
};

/// Lines of a table with a heading: hosts, ranks, devices, and the ranges of dp, tp and pp.
/// `places` by rank. Hosts next to each other (by their first rank) whose ranks do the same
/// kind of work share a line: first those of the same stages, and if that leaves more than
/// `most` lines all that hold equally many ranks, devices and indices; then the numbers in
/// brackets are what each of them holds. Lines beyond `most` are left out, and counted in the
/// last.
[[nodiscard]] std::vector<std::string> mesh_table(const MeshShape& shape,
                                                  const std::vector<RankPlace>& places,
                                                  std::size_t most);

/// "node01–node12 (12 hosts)" where the names count up, "a … z (26 hosts)" where they don't.
[[nodiscard]] std::string host_range(const std::vector<std::string>& names);

/// "0–7", "0, 2", "0 … 28 (8)": of ascending numbers.
[[nodiscard]] std::string number_range(const std::vector<int>& numbers);

}  // namespace trireme
