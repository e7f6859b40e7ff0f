// SPDX-License-Identifier: Apache-2.0
// The message of an expected error, and what it must mention.
#pragma once

#include <string>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

namespace trireme::test {

/// The message of the Error that `f` must throw.
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  BOOST_FAIL("no error");
  return {};
}

}  // namespace trireme::test

#define TRM_TEST_MENTIONS(message, part)                    \
  do {                                                      \
    const std::string trm_message = (message);              \
    BOOST_TEST(trm_message.find(part) != std::string::npos, \
               "\"" << trm_message << "\": no " << (part)); \
  } while (false)
