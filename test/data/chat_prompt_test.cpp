// SPDX-License-Identifier: Apache-2.0
// Conversations that the assistant goes on with, as the models' own templates write them.
#include <boost/test/unit_test.hpp>

#include "trireme/data/chat_template.hpp"

#include "../support/error_of.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

std::string written(const char* form, const std::vector<Message>& messages) {
  const ByteTokenizer bytes;
  return bytes.decode(chat_prompt(chat_template(form), messages, bytes).ids);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(chat_prompts)

BOOST_AUTO_TEST_CASE(end_where_the_assistant_begins) {
  const Message ask{"user", "Hello"};
  BOOST_TEST(written("chatml", {{"system", "Be."}, ask}) ==
             "<|im_start|>system\nBe.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
             "<|im_start|>assistant\n");
  BOOST_TEST(written("llama3", {ask}) ==
             "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
             "<|start_header_id|>assistant<|end_header_id|>\n\n");
  BOOST_TEST(written("llama2", {ask}) == "<s>[INST] Hello [/INST]");
  BOOST_TEST(written("gemma", {ask, {"assistant", "Hi"}, {"user", "And?"}}) ==
             "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\nHi"
             "<end_of_turn>\n<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n");
}

BOOST_AUTO_TEST_CASE(know_what_ends_an_answer) {
  const ByteTokenizer bytes;
  const auto ends = [&](const char* form) {
    return chat_prompt(chat_template(form), {{"user", "x"}}, bytes).ends;
  };
  BOOST_TEST(ends("chatml") == std::vector<std::string>{"<|im_end|>"},
             boost::test_tools::per_element());
  BOOST_TEST(ends("llama2") == std::vector<std::string>{"</s>"},
             boost::test_tools::per_element());
  BOOST_TEST(ends("alpaca") == std::vector<std::string>{"\n\n### Instruction:\n"},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(refuse_what_does_not_fit) {
  const ByteTokenizer bytes;
  BOOST_TEST(
      error_of([&] {
        (void)chat_prompt(chat_template("gemma"), {{"system", "Be."}, {"user", "x"}}, bytes);
      }).find("no place for a system message") != std::string::npos);
  BOOST_TEST(error_of([&] {
               (void)fitting_template(bytes);
             }).find("has the marks of no chat templates: name one of chatml") !=
             std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
