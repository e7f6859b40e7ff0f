// SPDX-License-Identifier: Apache-2.0
// Nodes as files like those that a system shows.
#include "trireme/host/machine.hpp"

#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kGiB = kKiB * kKiB * kKiB;

struct FakeNode {
  test::TemporaryFolder folder;
  std::string root = folder / "root";

  FakeNode() {
    put("/proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: Some "
        "CPU @ 2 GHz\n");
    put("/proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   8388608 kB\n");
    put("/sys/devices/system/node/node0/cpulist", "0");
    put("/sys/devices/system/node/node1/cpulist", "1");
    put("/sys/devices/system/node/online", "0-1");
  }
  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_node_is_described) {
  const FakeNode node;
  const NodeFacts facts = look_at_node(node.root);
  BOOST_CHECK_EQUAL(facts.processor, "Some CPU @ 2 GHz");
  BOOST_CHECK_EQUAL(facts.processors, 2);
  BOOST_CHECK_EQUAL(facts.cores, 2);
  BOOST_CHECK_EQUAL(facts.numa_nodes, 2);
  BOOST_CHECK_EQUAL(facts.memory, 16 * kGiB);
  BOOST_CHECK_EQUAL(facts.available, 8 * kGiB);
  BOOST_CHECK(node_facts_of(to_text(facts)) == facts);
}

BOOST_AUTO_TEST_CASE(a_control_groups_limit_counts_that_of_one_around_it_too) {
  const FakeNode node;
  node.put("/proc/self/cgroup", "0::/slurm/job_1/step_0\n");
  node.put("/sys/fs/cgroup/slurm/job_1/step_0/memory.max", "max\n");
  BOOST_CHECK_EQUAL(look_at_node(node.root).available, 8 * kGiB);
  node.put("/sys/fs/cgroup/slurm/job_1/memory.max", std::to_string(2 * kGiB) + "\n");
  BOOST_CHECK_EQUAL(look_at_node(node.root).available, 2 * kGiB);
  node.put("/sys/fs/cgroup/slurm/job_1/step_0/memory.max", std::to_string(kGiB) + "\n");
  BOOST_CHECK_EQUAL(look_at_node(node.root).available, kGiB);
}

BOOST_AUTO_TEST_CASE(version_1_of_control_groups) {
  const FakeNode node;
  node.put("/proc/self/cgroup", "5:cpu:/\n4:memory:/job\n0::/\n");
  node.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  node.put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", std::to_string(3 * kGiB) + "\n");
  BOOST_CHECK_EQUAL(look_at_node(node.root).available, 3 * kGiB);
}

BOOST_AUTO_TEST_CASE(what_no_file_tells_is_empty) {
  const test::TemporaryFolder empty;
  BOOST_CHECK(look_at_node(empty / "nowhere") == NodeFacts{});
  BOOST_CHECK(node_facts_of(to_text(NodeFacts{})) == NodeFacts{});
}
