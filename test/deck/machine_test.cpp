// SPDX-License-Identifier: Apache-2.0
// Machine files: units, and what is refused.
#include "trireme/deck/machine.hpp"

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"

using namespace trireme;

namespace {

const std::string kWhole = R"(machine:
  name: test
  gemm_tflops: {fp32: 2, bf16: 4}
  memory_bandwidth: 100
  link:
    node: {bandwidth: 10, latency: 2}
    network: {bandwidth: 1}
  ranks_per_node: 4
  device_memory: 8GiB
)";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kWhole;
  return text.replace(text.find(from), from.size(), to);
}

std::string error(const std::string& text) {
  return test::error_of([&] { (void)parse_machine(text, "m.yml"); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(units_of_a_machine_file_are_the_pages) {
  const Machine m = parse_machine(kWhole, "m.yml");
  BOOST_TEST(m.name == "test");
  BOOST_TEST(m.gemm(DType::f32) == 2e12);
  BOOST_TEST(m.gemm(DType::bf16) == 4e12);
  BOOST_TEST(m.gemm(DType::f16) == 4e12);
  BOOST_TEST(m.memory_bandwidth == 1e11);
  BOOST_TEST(m.node.bandwidth == 1e10);
  BOOST_TEST(m.node.latency == 2e-6);
  BOOST_TEST(m.network.latency == 0);
  BOOST_TEST(m.ranks_per_node == 4);
  BOOST_TEST(m.device_memory == std::int64_t{8} << 30U);
  BOOST_TEST(m.overlap == 1);
  BOOST_TEST(!m.has_gpus);
  BOOST_TEST(parse_machine(kWhole + "  device: cuda\n", "m.yml").has_gpus);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_in_a_machine_file_is_named) {
  BOOST_TEST(error(replaced("memory_bandwidth: 100", "memory_bandwidht: 100"))
                 .find("memory_bandwidth is missing") != std::string::npos);
  BOOST_TEST(error(kWhole + "  speed: 3\n").find("m.yml:10:3: unknown key machine.speed") !=
             std::string::npos);
  BOOST_TEST(error(replaced("fp32: 2", "fp32: fast")).find("machine.gemm_tflops.fp32") !=
             std::string::npos);
  BOOST_TEST(error(replaced("fp32: 2", "fp32: -1")).find("at least 0") != std::string::npos);
  BOOST_TEST(error(replaced("fp32: 2", "fp32: 0")).find("above 0") != std::string::npos);
  BOOST_TEST(error(replaced("ranks_per_node: 4", "ranks_per_node: 1.5")).find("1.5 ranks") !=
             std::string::npos);
  BOOST_TEST(error(replaced("8GiB", "8 apples")).find("device_memory") != std::string::npos);
  BOOST_TEST(error(kWhole + "  device: tpu\n").find("neither cpu nor cuda") !=
             std::string::npos);
  BOOST_TEST(error(kWhole + "  overlap: 1.5\n").find("above 1") != std::string::npos);
  BOOST_TEST(error("machine: 3\n").find("must be a dictionary") != std::string::npos);
  BOOST_TEST(test::error_of([] {
               (void)read_machine("/nowhere.yml");
             }).find("/nowhere.yml: cannot open") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(sizes_have_units) {
  BOOST_TEST(parse_bytes("80GiB") == std::int64_t{80} << 30U);
  BOOST_TEST(parse_bytes("1.5 GB") == 1'500'000'000);
  BOOST_TEST(parse_bytes("1024") == 1024);
  BOOST_CHECK_THROW((void)parse_bytes("80 gigs"), Error);
  BOOST_CHECK_THROW((void)parse_bytes(""), Error);
  BOOST_CHECK_THROW((void)parse_bytes("-1GB"), Error);
  BOOST_CHECK_THROW((void)parse_bytes("1e30TB"), Error);
}
