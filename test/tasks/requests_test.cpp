// SPDX-License-Identifier: Apache-2.0
// Contexts and continuations as tokens: where they divide, and what is cut off.
#include "../../src/tasks/requests.hpp"

#include <boost/test/unit_test.hpp>

#include "../../src/tasks/judge.hpp"
#include "../support/error_of.hpp"
#include "scorers.hpp"

using namespace trireme;
using namespace trireme::tasks;
using trireme::test::error_of;
using trireme::test::HashScorer;

namespace {

/// Bytes, but `ab` is one token of its own, and <s> stands before each document.
class PairTokenizer : public ByteTokenizer {
 public:
  void encode_part(std::string_view text, TextPart /*part*/, Tokens& to) const override {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool pair = text.substr(i, 2) == "ab";
      to.push_back(pair ? 300 : text[i]);
      i += pair ? 1 : 0;
    }
  }
  [[nodiscard]] Surroundings surroundings() const override { return {{301}, {302}}; }
};

Tokens bytes(std::string_view text) { return {text.begin(), text.end()}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(requests)

BOOST_AUTO_TEST_CASE(white_space_moves_to_the_continuation) {
  const ByteTokenizer tokenizer;
  const Request r = make_request(tokenizer, "ask \n", "yes", 100);
  BOOST_TEST(r.tokens == bytes("ask \nyes"), boost::test_tools::per_element());
  BOOST_TEST(r.scored == 5U);
}

BOOST_AUTO_TEST_CASE(the_context_keeps_as_many_tokens_as_it_has_alone) {
  // "a" is one token by itself, and "ab" one of the whole: none is left to score.
  const PairTokenizer tokenizer;
  const Request r = make_request(tokenizer, "xa", "bc", 100);
  BOOST_TEST(r.tokens == (Tokens{301, 'x', 300, 'c'}), boost::test_tools::per_element());
  BOOST_TEST(r.scored == 1U);
  TRM_TEST_MENTIONS(error_of([&] { (void)make_request(tokenizer, "xa", "b", 100); }),
                    "the continuation \"b\" adds no token");
}

BOOST_AUTO_TEST_CASE(a_blank_context_is_what_begins_a_document) {
  BOOST_TEST(make_request(ByteTokenizer(), "", "a", 9).tokens == (Tokens{256, 'a'}),
             boost::test_tools::per_element());
  const Request r = make_request(PairTokenizer(), " ", "a", 9);
  BOOST_TEST(r.tokens == (Tokens{301, ' ', 'a'}), boost::test_tools::per_element());
  BOOST_TEST(r.scored == 2U);
}

BOOST_AUTO_TEST_CASE(the_left_is_cut_off) {
  const ByteTokenizer tokenizer;
  const Request r = make_request(tokenizer, "0123456789", "ab", 4);
  BOOST_TEST(r.tokens == bytes("789ab"), boost::test_tools::per_element());
  BOOST_TEST(r.scored == 2U);
  BOOST_TEST(make_request(tokenizer, "0123", "abcd", 4).tokens == bytes("3abcd"),
             boost::test_tools::per_element());
  TRM_TEST_MENTIONS(error_of([&] { (void)make_request(tokenizer, "0123", "abcde", 4); }),
                    "has 5 tokens, but the model reads 4 at once");
}

BOOST_AUTO_TEST_CASE(scores_are_sums_over_the_continuation) {
  HashScorer scorer(100);
  const std::vector<Request> requests{{bytes("abc"), 1},
                                      {bytes("hbdfh"), 4},
                                      {bytes("xy"), 1},
                                      {bytes("long one"), 3},
                                      {bytes("ac"), 1}};
  std::vector<std::size_t> done;
  const auto scores =
      score_requests(scorer, requests, [&](std::size_t n) { done.push_back(n); });
  for (std::size_t i = 0; i < requests.size(); ++i) {
    double sum = 0;
    bool greedy = true;
    const Tokens& tokens = requests[i].tokens;
    for (std::size_t n = tokens.size() - requests[i].scored + 1; n <= tokens.size(); ++n) {
      sum += HashScorer::of(std::span(tokens).first(n));
      greedy = greedy && tokens[n - 1] % 2 == 0;
    }
    BOOST_TEST(scores[i].log_likelihood == sum);
    BOOST_TEST(scores[i].greedy == greedy);
  }
  BOOST_TEST(scores[1].greedy);
  BOOST_TEST(done == (std::vector<std::size_t>{3, 5}));
}

BOOST_AUTO_TEST_CASE(choices_weigh_by_characters_or_bytes) {
  const Question question{.context = {}, .choices = {"éé", "abc"}, .right = 0, .answers = {}};
  const std::vector<RequestScore> scores{{-6, true}, {-8, true}};
  BOOST_TEST(weighed(Metric::acc, question, scores) == (std::vector<double>{-6, -8}));
  BOOST_TEST(weighed(Metric::acc_norm, question, scores) == (std::vector<double>{-3, -8. / 3}));
  BOOST_TEST(weighed(Metric::acc_bytes, question, scores) ==
             (std::vector<double>{-1.5, -8. / 3}));
}

BOOST_AUTO_TEST_CASE(answers_are_compared_in_one_form) {
  Task task;
  BOOST_TEST(answer_of(task, " Yes.\n") == "Yes.");
  task.ignore_case = task.ignore_punctuation = true;
  BOOST_TEST(answer_of(task, " \"É-Yes.\"") == "éyes");
  BOOST_TEST(cut_at("one two\nthree", {"three", "\n"}) == "one two");
  BOOST_TEST(likeliest({-2, -1, -1}) == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
