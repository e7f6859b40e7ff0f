// SPDX-License-Identifier: Apache-2.0
// Prompts in files of every form, and answers as lines.
#include "../../src/app/prompts.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "../../src/app/answers.hpp"
#include "../support/error_of.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

std::vector<std::string> texts(const std::string& text, const std::string& end = "\n") {
  std::vector<std::string> list;
  for (const Prompt& prompt : parse_prompts(text, end, "file")) list.push_back(prompt.text);
  return list;
}

using Texts = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(prompts)

BOOST_AUTO_TEST_CASE(texts_are_divided_at_their_end) {
  BOOST_TEST(texts("one\n\n two \nthree") == (Texts{"one", "two", "three"}));
  BOOST_TEST(texts("one\ntwo###three\n###", "###") == (Texts{"one\ntwo", "three"}));
  BOOST_TEST(texts("one\ntwo", "") == (Texts{"one\ntwo"}));
  BOOST_TEST(texts("\xef\xbb\xbfone\ntwo") == (Texts{"one", "two"}));
}

BOOST_AUTO_TEST_CASE(lines_of_json_have_texts_or_conversations) {
  BOOST_TEST(texts("{\"prompt\": \" a\\n\"}\n\n{\"text\": \"b\", \"context\": \"c\"}\n"
                   "{\"context\": \"d\"}\n\"e\"\n") == (Texts{" a\n", "b", "d", "e"}));
  const auto chat = parse_prompts(R"({"messages": [{"role": "user", "content": "a"},)"
                                  R"( {"role": "assistant", "content": "b"}]})",
                                  "\n", "file");
  BOOST_REQUIRE(chat.size() == 1);
  BOOST_REQUIRE(chat[0].messages.size() == 2);
  BOOST_TEST(chat[0].messages[1].role == "assistant");
  BOOST_TEST(chat[0].messages[1].text == "b");
}

BOOST_AUTO_TEST_CASE(faults_are_named_by_line) {
  const auto fault = [](const std::string& text) {
    return error_of([&] { (void)parse_prompts(text, "\n", "file"); });
  };
  BOOST_TEST(fault("") == "file holds no prompt");
  BOOST_TEST(fault(" \n\t\n") == "file holds no prompt");
  BOOST_TEST(fault("{\"prompt\": \"a\"}\n{\"prompt\": 1}") ==
             "file:2: `prompt` should be a text");
  BOOST_TEST(fault("{\"prompt\"") == "file:1: this is no JSON: {\"prompt\"");
  BOOST_TEST(fault("{}") == "file:1: there is none of prompt, text, context and messages");
  BOOST_TEST(fault("{\"prompt\": \"a\"}\n7") == "file:2: a line should be an object or a text");
  BOOST_TEST(fault("{\"messages\": []}") ==
             "file:1: `messages` should be a list of objects with role and content");
  BOOST_TEST(fault("{\"messages\": [{\"role\": \"user\"}]}") ==
             "file:1: `content` should be a text");
}

BOOST_AUTO_TEST_CASE(an_answer_is_decoded_behind_its_prompt) {
  const ByteTokenizer bytes;
  BOOST_TEST(encode_prompt("ab", bytes) == (TokenIds{97, 98}),
             boost::test_tools::per_element());
  BOOST_TEST(encode_prompt("", bytes) == (TokenIds{256}), boost::test_tools::per_element());
  BOOST_TEST(answer_text(bytes, {256}, {97, 256, 98}) == "ab");
  BOOST_TEST(find_stop("abcabc", {"cab", "bc"}) == 1U);
  BOOST_TEST(find_stop("abc", {"x"}) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_line_has_the_names_of_gpt_neox) {
  const Answer answer{
      .tokens = {1, 2}, .log_probabilities = {}, .finished = true, .seconds = 2};
  const std::string context = "a\xff";
  BOOST_TEST(
      answer_line({.context = context, .text = "b\n", .answer = answer, .message = ""}) ==
      "{\"context\":\"a\xef\xbf\xbd\",\"text\":\"b\\n\",\"length\":2,\"finished\":true,"
      "\"message\":null,\"duration_seconds\":2.0}");
  const Answer known{
      .tokens = {7}, .log_probabilities = {-0.5F}, .finished = false, .seconds = 0};
  const auto line = nlohmann::json::parse(
      answer_line({.context = context, .text = "", .answer = known, .message = "full"}));
  BOOST_TEST(line["message"] == "full");
  BOOST_TEST(line["tokens"][0] == 7);
  BOOST_TEST(line["token_logprobs"][0] == -0.5);
}

BOOST_AUTO_TEST_SUITE_END()
