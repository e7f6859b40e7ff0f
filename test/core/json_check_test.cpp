// SPDX-License-Identifier: Apache-2.0
// Texts that are no JSON, or more than one value.
#include "trireme/core/json_check.hpp"

#include <chrono>
#include <string>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"

using namespace trireme;
using test::error_of;

namespace {

std::string trouble(const std::string& text) {
  return error_of([&] { check_json(text, 4); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(json_passes) {
  for (const char* text : {"{}", "[1, -2, 2.5e3, true, null, \"a\"]", "\"a\"",
                           R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", "[[[[]]]]"}) {
    BOOST_CHECK_NO_THROW(check_json(text, 4));
  }
}

BOOST_AUTO_TEST_CASE(other_texts_are_named) {
  BOOST_TEST(trouble("{") == "this is no JSON: byte 2 is unexpected");
  BOOST_TEST(trouble("") == "this is no JSON: byte 1 is unexpected");
  BOOST_TEST(trouble("[1e999]").find("the number at byte") != std::string::npos);
  BOOST_TEST(trouble(R"({"b": {"a": 1, "a": 2}})") ==
             "the key \"a\" stands twice in an object");
  BOOST_TEST(trouble("[[[[[]]]]]") == "the JSON is nested more than 4 deep");
  BOOST_TEST(trouble("[{\"a\": [{\"a\": {}}]}]") == "the JSON is nested more than 4 deep");
  BOOST_TEST(trouble("{} {}").find("no JSON") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(long_arrays_take_linear_time) {
  // Quadratic time would take minutes here.
  std::string text = "[{\"rank\": 0}";
  for (int i = 1; i < 200'000; ++i) text += ",{\"rank\": " + std::to_string(i) + "}";
  text += "]";
  const auto begin = std::chrono::steady_clock::now();
  check_json(text, 4);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  BOOST_TEST(taken.count() < 20);
}
