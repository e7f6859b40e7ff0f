// SPDX-License-Identifier: Apache-2.0
// What an Error says and where it says it comes from.
#include "trireme/core/error.hpp"

#include <string>
#include <string_view>

#include <boost/test/unit_test.hpp>

namespace trireme {
namespace {

template <class Action>
Error caught(const Action& action) {
  try {
    action();
  } catch (const Error& e) {
    return e;
  }
  BOOST_FAIL("nothing was thrown");
  return Error("");
}

BOOST_AUTO_TEST_CASE(require_says_the_message_alone) {
  const Error e = caught([] { TRM_REQUIRE(1 + 1 == 3, "{} ranks for {} stages", 3, 4); });
  BOOST_TEST(std::string(e.what()) == "3 ranks for 4 stages");
  BOOST_TEST(!e.everywhere());
  BOOST_TEST(std::string_view(e.where().file_name()).ends_with("error_test.cpp"));
}

BOOST_AUTO_TEST_CASE(check_adds_expression_and_place) {
  const unsigned line = __LINE__ + 1;
  const Error e = caught([] { TRM_CHECK(1 > 2, "count {}", 7); });
  const std::string text = e.what();
  BOOST_TEST(text.starts_with("count 7 [1 > 2 failed at "));
  BOOST_TEST(text.ends_with(fmt::format("error_test.cpp:{}]", line)));
  BOOST_TEST(e.where().line() == line);
}

BOOST_AUTO_TEST_CASE(what_holds_is_silent_and_evaluated_once) {
  int calls = 0;
  const auto count = [&] { return ++calls > 0; };
  TRM_REQUIRE(count(), "never");
  TRM_CHECK(count(), "never");
  BOOST_TEST(calls == 2);
  if (calls == 0)
    TRM_CHECK(false, "a macro is one statement");
  else
    ++calls;
  BOOST_TEST(calls == 3);
}

BOOST_AUTO_TEST_CASE(everywhere_survives_a_copy) {
  Error e("same on all ranks");
  e.set_everywhere();
  const Error copy = e;
  BOOST_TEST(copy.everywhere());
  BOOST_TEST(copy.where().line() == e.where().line());
}

}  // namespace
}  // namespace trireme
