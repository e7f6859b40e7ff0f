// SPDX-License-Identifier: Apache-2.0
// Makes plans for attention on an H100, without a GPU. The graphs must be recognised and
// compiled by cuDNN, and the plans must fit the workspace.
#include "../../../../src/backend/cuda/cudnn/attention_plans.hpp"

#include <iostream>

#include <boost/test/unit_test.hpp>

#include "../../../../src/backend/cuda/runtime/workspace.hpp"

namespace trireme::test {
namespace {

using cuda::AttentionPlans;
using cuda::AttentionProblem;

constexpr std::string_view kH100 = R"({
  "deviceName": "NVIDIA H100 80GB HBM3", "deviceVer": 900, "driverVer": 13000,
  "cudaDeviceId": 0, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
  "multiProcessorCount": 132, "warpSize": 32, "maxThreadsPerBlock": 1024,
  "maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "maxBlockSize": [1024, 1024, 64],
  "maxGridSize": [2147483647, 65535, 65535], "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
  "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024, "totalGlobalMem": 85017493504,
  "l2CacheSize": 52428800, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000})";

bool installed() {
  try {
    static_cast<void>(cudnnGetVersion());
    return true;
  } catch (const Error& e) {
    std::cout << "skipped: no cuDNN (" << e.what() << ")\n";
    return false;
  }
}

AttentionProblem problem(std::int64_t batch, std::int64_t heads, std::int64_t seq,
                         std::int64_t head_dim) {
  return {.type = CUDNN_DATA_BFLOAT16,
          .batch = batch,
          .heads = heads,
          .seq = seq,
          .head_dim = head_dim,
          .qkv_row = 3 * heads * head_dim,
          .out_row = heads * head_dim};
}

AttentionPlans plans(const AttentionProblem& p) {
  cuda::Descriptor h100(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  h100.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(kH100)).finalize();
  return {p, {.properties = &h100}, cuda::Workspace::kBytes};
}

void check(const AttentionProblem& p, std::int64_t parts) {
  BOOST_TEST_CONTEXT(p.batch << " × " << p.seq << " tokens, " << p.heads << " heads of "
                             << p.head_dim << ", type " << p.type) {
    const AttentionPlans made = plans(p);
    BOOST_TEST(made.parts() == parts);
    BOOST_TEST(made.workspace_bytes() <= cuda::Workspace::kBytes);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(attention_plans)

BOOST_AUTO_TEST_CASE(both_types) {
  if (!installed()) return;
  AttentionProblem p = problem(2, 4, 1024, 64);
  check(p, 1);
  p.type = CUDNN_DATA_HALF;
  check(p, 1);
}

BOOST_AUTO_TEST_CASE(sizes_of_heads_and_lengths) {
  if (!installed()) return;
  for (const std::int64_t head_dim : {8, 80, 128, 256}) {
    check(problem(1, 2, 130, head_dim), 1);
  }
  for (const std::int64_t seq : {2, 1000}) check(problem(3, 2, seq, 64), 1);
}

BOOST_AUTO_TEST_CASE(windows_of_wider_rows) {
  if (!installed()) return;
  AttentionProblem p = problem(2, 5, 77, 40);
  p.qkv_row += 16;
  p.out_row += 8;
  check(p, 1);
}

BOOST_AUTO_TEST_CASE(large_backward_passes_in_parts) {
  if (!installed()) return;
  check(problem(8, 12, 1024, 64), 4);   // two sequences of the batch at once
  check(problem(2, 16, 2048, 128), 4);  // eight heads at once
}

BOOST_AUTO_TEST_CASE(refusals_say_why) {
  if (!installed()) return;
  BOOST_CHECK_EXCEPTION(plans(problem(1, 4, 8192, 128)), Error, [](const Error& e) {
    return std::string_view(e.what()).find("fits a workspace") != std::string_view::npos;
  });
  // Parts of 1, 2 or 19 sequences would not begin at multiples of 16 bytes.
  BOOST_CHECK_THROW(plans(problem(38, 1, 1023, 64)), Error);
  BOOST_CHECK_EXCEPTION(plans(problem(1, 2, 128, 12)), Error, [](const Error& e) {
    return std::string_view(e.what()).find("not a multiple of 8") != std::string_view::npos;
  });
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
