// SPDX-License-Identifier: Apache-2.0
// Lines of the log as JSON.
#include "../../src/core/log_line.hpp"

#include <boost/test/unit_test.hpp>

using namespace trireme::log;

BOOST_AUTO_TEST_CASE(a_line_is_an_object) {
  const Line line{Line::Level::warning, "a \"b\"\n\\\x01", R"("iteration": 3)", 1.25};
  BOOST_TEST(json_of(line, 2, "node7") ==
             R"({"time": "1970-01-01T00:00:01.250Z", "rank": 2, "host": "node7", )"
             R"("level": "warning", "text": "a \"b\"\n\\\u0001", "iteration": 3})");
}

BOOST_AUTO_TEST_CASE(what_is_no_utf_8_is_replaced) {
  const auto text = [](const std::string& bytes) {
    const std::string json = json_of({Line::Level::info, bytes, {}, 0}, 0, "h");
    const std::size_t begin = json.find("\"text\": \"") + 9;
    return json.substr(begin, json.rfind('"') - begin);
  };
  BOOST_TEST(text("dp 2 × tp") == "dp 2 × tp");
  BOOST_TEST(text("\xff") == "\\ufffd");
  BOOST_TEST(text("\xc3") == "\\ufffd");
  BOOST_TEST(text("\xed\xa0\x80") == "\\ufffd\\ufffd\\ufffd");  // a surrogate
  BOOST_TEST(text("\xf0\x9f\x98\x80") == "\xf0\x9f\x98\x80");
}
