// SPDX-License-Identifier: Apache-2.0
// The test module of the data floor.
#define BOOST_TEST_MODULE data
#include <boost/test/unit_test.hpp>
