// SPDX-License-Identifier: Apache-2.0
// Constants that the environment changes.
#include "../../../src/backend/cuda/runtime/tuning.hpp"

#include <cstdlib>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cuda.hpp"

#include "../../support/error_of.hpp"

namespace {

using trireme::cuda::tuning_of;

std::string trouble(const char* text) {
  return trireme::test::error_of([&] { static_cast<void>(tuning_of(text)); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_tuning)

BOOST_AUTO_TEST_CASE(constants_have_usual_values_unless_they_are_named) {
  BOOST_TEST(tuning_of("").bias_gradient_epilogue == 1);
  const auto changed = tuning_of("bias_gradient_epilogue=0,nccl_message_blocks=2");
  BOOST_TEST(changed.bias_gradient_epilogue == 0);
  BOOST_TEST(changed.nccl_message_blocks == 2);
  BOOST_TEST(changed.nccl_collective_blocks == tuning_of("").nccl_collective_blocks);
}

BOOST_AUTO_TEST_CASE(names_and_values_are_checked) {
  TRM_TEST_MENTIONS(trouble("gelu=0"), "no constant 'gelu'; there are gelu_epilogue, ");
  TRM_TEST_MENTIONS(trouble("gelu_epilogue=2"),
                    "gelu_epilogue must be a whole number from 0 to 1");
  for (const char* text :
       {"gelu_epilogue", "gelu_epilogue=", "gelu_epilogue=1x", "gelu_epilogue=-1"}) {
    TRM_TEST_MENTIONS(trouble(text), "must be a whole number");
  }
  TRM_TEST_MENTIONS(trouble(",gelu_epilogue=1"), "no constant ''");
}

BOOST_AUTO_TEST_CASE(changes_are_named) {
  setenv("TRIREME_CUDA_TUNING", "gemm_candidates=16,column_parts=528,gelu_epilogue=0", 1);
  BOOST_TEST(trireme::cuda_tuning() ==
             "gelu_epilogue 0 instead of 1, column_parts 528 instead of 264");
  unsetenv("TRIREME_CUDA_TUNING");
  BOOST_TEST(trireme::cuda_tuning() == "");
}

BOOST_AUTO_TEST_SUITE_END()
