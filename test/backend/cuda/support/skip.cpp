// SPDX-License-Identifier: Apache-2.0
// Skips tests of the real CUDA backend on machines without a GPU, with a message.
#include <cstdio>
#include <cstdlib>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cuda.hpp"

namespace {

struct NeedsGpu {
  NeedsGpu() {
    const std::string trouble = trireme::cuda_trouble();
    if (trouble.empty()) return;
    std::printf("skipped: no GPU: %s\n", trouble.c_str());
    std::fflush(stdout);
    std::_Exit(77);
  }
};

}  // namespace

BOOST_TEST_GLOBAL_CONFIGURATION(NeedsGpu);
