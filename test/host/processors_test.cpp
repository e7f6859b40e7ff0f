// SPDX-License-Identifier: Apache-2.0
// Cores, governors and memory nodes of systems as files show them; threads of a rank.
#include "trireme/host/processors.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

using Mask = std::vector<std::uint8_t>;

/// Two cores of two hardware threads, {0, 2} and {1, 3}; node 0 has core 0, node 1 core 1.
struct TwoCores {
  test::TemporaryFolder folder;
  std::string root = folder / "root";

  TwoCores() {
    for (const int processor : {0, 1, 2, 3}) {
      put(processor, "topology/thread_siblings_list", processor % 2 == 0 ? "0,2" : "1,3");
    }
    write("/sys/devices/system/node/node0/cpulist", "0,2");
    write("/sys/devices/system/node/node1/cpulist", "1,3");
  }
  void put(int processor, const std::string& file, const std::string& text) const {
    write("/sys/devices/system/cpu/cpu" + std::to_string(processor) + "/" + file, text);
  }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text << "\n";
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(processors)

BOOST_AUTO_TEST_CASE(hardware_threads_of_a_core_count_once) {
  const TwoCores system;
  BOOST_TEST(cores_of({1, 1, 1, 1}, system.root) == (Mask{1, 1, 0, 0}));
  BOOST_TEST(cores_of({0, 0, 1, 0}, system.root) == (Mask{1, 0, 0, 0}));
  BOOST_TEST(cores_of({0, 1, 0, 1}, system.root) == (Mask{0, 1, 0, 0}));
  BOOST_TEST(cores_of({0, 0, 0, 0}, system.root) == (Mask{0, 0, 0, 0}));
  // Without the system's files each processor is a core.
  BOOST_TEST(cores_of({1, 0, 1, 1}, system.root + "/none") == (Mask{1, 0, 1, 1}));
  system.put(3, "topology/thread_siblings_list", "99");
  BOOST_TEST(cores_of({0, 0, 0, 1}, system.root) == (Mask{0, 0, 0, 1}));
}

BOOST_AUTO_TEST_CASE(threads_are_the_decks_or_the_variables_or_the_share) {
  const NodeShare node{8, 8, 4};
  BOOST_TEST(threads_of_rank(3, node) == 3);
  const char* const before = std::getenv("OMP_NUM_THREADS");
  const std::string kept = before != nullptr ? before : "";
  setenv("OMP_NUM_THREADS", "5", 1);
  BOOST_TEST(threads_of_rank(0, node) == 5);
  setenv("OMP_NUM_THREADS", "many", 1);
  BOOST_TEST(threads_of_rank(0, node) == 4);
  unsetenv("OMP_NUM_THREADS");
  BOOST_TEST(threads_of_rank(0, node) == 4);
  if (before != nullptr) setenv("OMP_NUM_THREADS", kept.c_str(), 1);
}

BOOST_AUTO_TEST_CASE(a_governor_of_the_lowest_frequency_is_named) {
  const TwoCores system;
  BOOST_TEST(slow_setting({1, 1, 1, 1}, system.root).empty());
  system.put(1, "cpufreq/scaling_driver", "acpi-cpufreq");
  system.put(1, "cpufreq/scaling_governor", "powersave");
  BOOST_TEST(slow_setting({1, 1, 1, 1}, system.root)
                 .starts_with("processor 1 runs at its lowest frequency"));
  BOOST_TEST(slow_setting({1, 0, 1, 0}, system.root).empty());
  system.put(1, "cpufreq/scaling_driver", "intel_pstate");
  BOOST_TEST(slow_setting({1, 1, 1, 1}, system.root).empty());
}

BOOST_AUTO_TEST_CASE(memory_of_another_node_is_named) {
  const TwoCores system;
  system.write("/proc/self/status", "Name:\ttrireme\nMems_allowed_list:\t0-1");
  BOOST_TEST(slow_setting({1, 1, 1, 1}, system.root).empty());
  system.write("/proc/self/status", "Name:\ttrireme\nMems_allowed_list:\t0");
  BOOST_TEST(slow_setting({1, 0, 1, 0}, system.root).empty());
  BOOST_TEST(
      slow_setting({0, 1, 0, 0}, system.root) ==
      "processor 1 is of NUMA node 1, but memory comes from node 0 alone: let both be of "
      "one node (numactl --cpunodebind, --membind)");
}

BOOST_AUTO_TEST_SUITE_END()
