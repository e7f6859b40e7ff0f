// SPDX-License-Identifier: Apache-2.0
// What an Error says and where it says it comes from.
#include "trireme/core/error.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

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

BOOST_AUTO_TEST_CASE(a_failed_call_leaves_its_reason_and_its_errno) {
  const Error e = caught([] { TRM_REQUIRE_SYSTEM(1 > 2, ENOSPC, "{}: cannot write", "file"); });
  BOOST_TEST(std::string(e.what()) == fmt::format("file: cannot write: {}", strerror(ENOSPC)));
  BOOST_TEST(e.system_error() == ENOSPC);
  BOOST_TEST((e.kind() == ErrorKind::disk_full));
  BOOST_TEST(std::string_view(e.where().file_name()).ends_with("error_test.cpp"));

  const Error other = e.saying("no checkpoint");
  BOOST_TEST(std::string(other.what()) == "no checkpoint");
  BOOST_TEST(other.system_error() == ENOSPC);
  BOOST_TEST(other.where().line() == e.where().line());

  const Error unknown = caught([] { TRM_REQUIRE_SYSTEM(1 > 2, 0, "cannot read"); });
  BOOST_TEST(std::string(unknown.what()) == "cannot read");
  BOOST_TEST(caught([] { TRM_REQUIRE(1 > 2, "no"); }).system_error() == 0);
}

BOOST_AUTO_TEST_CASE(kinds_are_what_the_program_decides_by) {
  for (const int full : {ENOSPC, EDQUOT, EFBIG}) {
    BOOST_TEST((kind_of(full) == ErrorKind::disk_full));
  }
  for (const int hindered : {EACCES, EMFILE, EIO, ESTALE, ENOMEM}) {
    BOOST_TEST((kind_of(hindered) == ErrorKind::unavailable));
  }
  for (const int plain : {0, ENOENT, ENOTDIR, EISDIR, EINVAL}) {
    BOOST_TEST((kind_of(plain) == ErrorKind::other));
  }
}

BOOST_AUTO_TEST_CASE(every_exception_becomes_an_error) {
  BOOST_TEST(!failure_of([] {}));
  const auto same = failure_of([] { throw Error("full", EDQUOT).set_everywhere(); });
  BOOST_TEST((same && same->system_error() == EDQUOT && same->everywhere()));
  const auto system = failure_of([] { std::filesystem::rename("/no/such/name", "/tmp"); });
  BOOST_TEST((system && system->system_error() == ENOENT));
  const auto memory = failure_of([] { throw std::bad_alloc(); });
  BOOST_TEST((memory && memory->kind() == ErrorKind::unavailable));
  const auto plain = failure_of([] { throw std::out_of_range("too far"); });
  BOOST_TEST((plain && std::string(plain->what()) == "too far" && plain->system_error() == 0));
  BOOST_TEST(std::string(failure_of([] { throw std::runtime_error(""); })->what()) ==
             "unknown error");
}

BOOST_AUTO_TEST_CASE(what_holds_is_silent_and_evaluated_once) {
  int calls = 0;
  const auto count = [&] { return ++calls > 0; };
  TRM_REQUIRE(count(), "never");
  TRM_CHECK(count(), "never");
  BOOST_TEST(calls == 2);
  if (calls == 0) {
    TRM_CHECK(false, "a macro is one statement");
  } else {
    ++calls;
  }
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
