// SPDX-License-Identifier: Apache-2.0
// Templates: what they give, and what they refuse.
#include "trireme/tasks/template.hpp"

#include <boost/test/unit_test.hpp>

#include "../../src/tasks/text_filters.hpp"
#include "../support/error_of.hpp"

using namespace trireme;
using namespace trireme::tasks;
using nlohmann::json;
using trireme::test::error_of;
using Strings = std::vector<std::string>;

namespace {

const deck::Place kPlace{"t.yml", 4, 2};

Example example_of(const char* text) { return {json::parse(text), "d.jsonl", 7}; }

std::string fill(const char* text, const char* fields) {
  return Template(text, kPlace).fill(example_of(fields));
}
Strings fill_list(const char* text, const char* fields) {
  return Template(text, kPlace).fill_list(example_of(fields));
}
std::string trouble(const char* text, const char* fields = "{}") {
  return error_of([&] { static_cast<void>(fill(text, fields)); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(templates)

BOOST_AUTO_TEST_CASE(fields_take_their_places) {
  BOOST_TEST(fill("", "{}") == "");
  BOOST_TEST(fill("Q: {q}\nA:", R"({"q": "why?"})") == "Q: why?\nA:");
  BOOST_TEST(fill("{a.b.c}{n}{t}", R"({"a": {"b": {"c": "x"}}, "n": -3, "t": true})") ==
             "x-3true");
  BOOST_TEST(fill("{c[1]}{d[0].e}", R"({"c": ["x", "y"], "d": [{"e": 5}]})") == "y5");
  BOOST_TEST(fill("{{a}} {a}", R"({"a": "{b}"})") == "{a} {b}");  // never filled twice
  BOOST_TEST(fill("{ein Name}", R"({"ein Name": "ö"})") == "ö");
}

BOOST_AUTO_TEST_CASE(filters_change_texts) {
  const char* fields = R"({"a": " éCOLE Été  ", "b": "one two three", "c": "us_policy"})";
  BOOST_TEST(fill("{a|strip|capitalize}", fields) == "École été");
  BOOST_TEST(fill("{a|lower}", fields) == " école été  ");
  BOOST_TEST(fill("{b|last_word}/{b|but_last_word}", fields) == "three/one two");
  BOOST_TEST(fill("{c|last_word}/{c|but_last_word}/{c|words}", fields) ==
             "us_policy//us policy");
  BOOST_TEST(stripped("\u00a0\u2003 x\u3000\n") == "x");
  BOOST_TEST(trailing_space("a \u3000") == 4U);
  BOOST_TEST(characters("aé\u3000") == 3U);
}

BOOST_AUTO_TEST_CASE(lists_give_several_texts) {
  const char* fields = R"({"e": ["x", "y"], "c": [{"t": "u"}, {"t": "v"}], "z": []})";
  BOOST_TEST(fill_list("{e}", fields) == (Strings{"x", "y"}));
  BOOST_TEST(fill_list("<{c[].t}>", fields) == (Strings{"<u>", "<v>"}));
  BOOST_TEST(fill_list("{e[0]}", fields) == Strings{"x"});
  BOOST_TEST(fill_list("{z}", fields).empty());
}

BOOST_AUTO_TEST_CASE(broken_templates_are_refused) {
  TRM_TEST_MENTIONS(trouble("a {b"), "t.yml:4:2: the brace in \"{b\" has no partner");
  TRM_TEST_MENTIONS(trouble("a} b"), "the brace in \"} b\"");
  TRM_TEST_MENTIONS(trouble("{}"), "a name is missing");
  TRM_TEST_MENTIONS(trouble("{a..b}"), "a name is missing");
  TRM_TEST_MENTIONS(trouble("{a[0}"), "a bracket is open");
  TRM_TEST_MENTIONS(trouble("{a[x]}"), "brackets hold a number or nothing");
  TRM_TEST_MENTIONS(trouble("{a[-1]}"), "brackets hold a number or nothing");
  TRM_TEST_MENTIONS(trouble("{a[0]b}"), "a dot is missing");
  TRM_TEST_MENTIONS(trouble("{a|big}"), "there is no filter \"big\"; filters are strip, cap");
}

BOOST_AUTO_TEST_CASE(examples_that_lack_a_field_are_named) {
  const std::string missing = trouble("{b}", R"({"a": 1, "c": 2})");
  TRM_TEST_MENTIONS(missing,
                    "d.jsonl, line 7: there is no field \"b\"; the fields here are \"a\", "
                    "\"c\", for {b} of t.yml:4:2");
  TRM_TEST_MENTIONS(trouble("{a.b}", R"({"a": "x"})"), "here stands a text");
  TRM_TEST_MENTIONS(trouble("{a[2]}", R"({"a": [1, 2]})"),
                    "element 2 is missing in a list of 2");
  TRM_TEST_MENTIONS(trouble("{a[0]}", R"({"a": {}})"),
                    "a list is expected, but here stands an");
  TRM_TEST_MENTIONS(trouble("{a}", R"({"a": null})"), "but here stands null");
  TRM_TEST_MENTIONS(trouble("{a}", R"({"a": 0.5})"), "but here stands a number");
  TRM_TEST_MENTIONS(trouble("{a}", R"({"a": ["x"]})"), "one text is expected");
  TRM_TEST_MENTIONS(error_of([] { (void)fill_list("{a}{b}", R"({"a": [1], "b": [2]})"); }),
                    "a second list");
}

BOOST_AUTO_TEST_SUITE_END()
