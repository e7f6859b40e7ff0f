// SPDX-License-Identifier: Apache-2.0
// When a kernel must ask for shared memory.
#include "../../../src/backend/cuda/runtime/shared_memory.hpp"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_CASE(a_kernel_asks_for_shared_memory_once_a_device) {
  using trireme::cuda::asks_for_more;
  const int first = 0;
  const int second = 0;
  BOOST_TEST(asks_for_more(&first, 0, 50000));
  BOOST_TEST(!asks_for_more(&first, 0, 50000));
  BOOST_TEST(!asks_for_more(&first, 0, 40000));
  BOOST_TEST(asks_for_more(&first, 0, 60000));
  BOOST_TEST(asks_for_more(&first, 1, 60000));
  BOOST_TEST(asks_for_more(&second, 0, 60000));
}
