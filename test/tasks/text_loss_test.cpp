// SPDX-License-Identifier: Apache-2.0
// Losses in windows, beside a computation token by token.
#include "trireme/tasks/text_loss.hpp"

#include <cmath>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/data/token_file.hpp"

#include "../../src/tasks/windows.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "scorers.hpp"

using namespace trireme;
using namespace trireme::tasks;
using trireme::test::error_of;
using trireme::test::HashScorer;
using trireme::test::TemporaryFolder;
using trireme::test::write_file;

namespace {

constexpr std::int64_t kLength = 10;

/// The loss of token `at`, from the definition: the first window that holds the token ends at
/// `end`, and begins up to length + 1 tokens before.
double loss_of(const Tokens& tokens, std::int64_t at, std::int64_t length,
               std::int64_t stride) {
  std::int64_t end = length + 1;
  while (end <= at) end += stride;
  end = std::min(end, std::ssize(tokens));
  const std::int64_t begin = std::max<std::int64_t>(0, end - length - 1);
  return -HashScorer::of(std::span(tokens).subspan(static_cast<std::size_t>(begin),
                                                   static_cast<std::size_t>(at + 1 - begin)));
}

double naive(const Tokens& tokens, std::int64_t length, std::int64_t stride) {
  double sum = 0;
  for (std::int64_t at = 1; at < std::ssize(tokens); ++at) {
    sum += loss_of(tokens, at, length, stride);
  }
  return sum;
}

/// Documents of some sizes, from text.
std::unique_ptr<TokenSource> make_source(const TemporaryFolder& folder,
                                         const std::string& text) {
  TextFormat format;
  format.separator = "|";
  return read_text({write_file(folder / "t.txt", text)}, format, ByteTokenizer(), 1);
}

const std::string kText = "a document of thirty-two letters|b|next to eleven|x";

Tokens with_ends(const std::string& text, bool with_lead) {
  Tokens tokens;
  if (with_lead) tokens.push_back(256);
  for (const char c : text) tokens.push_back(c == '|' ? 256 : c);
  tokens.push_back(256);
  return tokens;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(text_loss)

BOOST_AUTO_TEST_CASE(windows_cover_each_token_once) {
  for (std::int64_t n = 0; n < 40; ++n) {
    for (std::int64_t stride = 1; stride <= 7; ++stride) {
      Windows windows(n, 7, stride);
      std::int64_t next = 1;
      for (Window w; windows.next(w);) {
        BOOST_TEST(w.scored == next);
        BOOST_TEST(w.end > w.scored);
        BOOST_TEST(w.end - w.begin == std::min<std::int64_t>(8, n));
        BOOST_TEST((w.begin == 0 || w.scored - w.begin > 7 - stride));
        next = w.end;
      }
      BOOST_TEST(next == std::max<std::int64_t>(n, 1));
    }
  }
}

BOOST_DATA_TEST_CASE(a_stream_is_scored_as_token_by_token,
                     boost::unit_test::data::make({0, 1, 3, 9, 10})) {
  const TemporaryFolder folder;
  const auto source = make_source(folder, kText);
  HashScorer scorer(kLength);
  const ByteTokenizer tokenizer;
  const TextLoss loss = measure_loss(*source, &tokenizer, scorer, {.stride = sample});
  const Tokens tokens = with_ends(kText, true);
  BOOST_TEST(loss.tokens == std::ssize(tokens) - 1);
  BOOST_TEST(loss.nats == naive(tokens, kLength, sample == 0 ? kLength : sample),
             boost::test_tools::tolerance(1e-12));
  BOOST_TEST(loss.bytes == std::ssize(kText) - 3);
  BOOST_TEST(
      *loss.bits_per_byte() == loss.nats / std::log(2.0) / static_cast<double>(loss.bytes),
      boost::test_tools::tolerance(1e-12));
  BOOST_TEST(loss.perplexity() == std::exp(loss.nats / static_cast<double>(loss.tokens)),
             boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(documents_stand_alone) {
  const TemporaryFolder folder;
  const auto source = make_source(folder, kText);
  HashScorer scorer(kLength);
  const ByteTokenizer tokenizer;
  for (const bool skip_ends : {false, true}) {
    std::vector<double> found;
    std::vector<std::int64_t> numbers;
    const auto note = [&](std::int64_t document, const TextLoss& loss) {
      numbers.push_back(document);
      found.push_back(loss.nats);
    };
    const TextLoss sum = measure_loss(*source, &tokenizer, scorer,
                                      {.length = 6,
                                       .stride = 4,
                                       .by_document = true,
                                       .skip_ends = skip_ends,
                                       .on_document = note});
    BOOST_TEST(numbers == (std::vector<std::int64_t>{0, 1, 2, 3}));
    double all = 0;
    std::size_t i = 0;
    for (const char* text : {"a document of thirty-two letters", "b", "next to eleven", "x"}) {
      Tokens tokens = with_ends(text, true);
      if (skip_ends) tokens.pop_back();
      const double expected = naive(tokens, 6, 4);
      BOOST_TEST(found[i++] == expected, boost::test_tools::tolerance(1e-12));
      all += expected;
    }
    BOOST_TEST(sum.nats == all, boost::test_tools::tolerance(1e-12));
  }
  const TextLoss two =
      measure_loss(*source, &tokenizer, scorer, {.skip_ends = true, .limit = 2});
  BOOST_TEST(two.tokens == 33);
}

BOOST_AUTO_TEST_CASE(a_loss_mask_leaves_tokens_out) {
  const TemporaryFolder folder;
  const ByteTokenizer tokenizer;
  {
    TokenFileWriter writer(folder / "t.h5", tokenizer, {.kind = "chat", .loss_mask = true});
    writer.append(Tokens{'a', 'b', 'c', 'd', 'e'}, std::vector<std::uint8_t>{0, 0, 1, 1, 0});
    writer.end_document();
    writer.finish("0");
  }
  const TokenFile file(folder / "t.h5");
  HashScorer scorer(kLength);
  const TextLoss loss = measure_loss(file, nullptr, scorer, {});
  const Tokens tokens{256, 'a', 'b', 'c', 'd', 'e', 256};
  BOOST_TEST(loss.tokens == 3);
  BOOST_TEST(loss.bytes == 0);
  BOOST_TEST(!loss.bits_per_byte().has_value());
  const double expected =
      loss_of(tokens, 3, 10, 10) + loss_of(tokens, 4, 10, 10) + loss_of(tokens, 6, 10, 10);
  BOOST_TEST(loss.nats == expected, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(a_text_that_begins_as_documents_do_gets_no_second_beginning) {
  const TemporaryFolder folder;
  const ByteTokenizer tokenizer;
  {
    TokenFileWriter writer(folder / "t.h5", tokenizer);
    writer.append(Tokens{256, 'b', 'c'});
    writer.end_document();
    writer.finish("0");
  }
  const TokenFile file(folder / "t.h5");
  HashScorer scorer(kLength);
  BOOST_TEST(measure_loss(file, &tokenizer, scorer, {}).tokens == 3);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_measured) {
  const TemporaryFolder folder;
  const auto source = make_source(folder, kText);
  HashScorer scorer(kLength);
  const auto trouble = [&](const LossOptions& options) {
    return error_of([&] { (void)measure_loss(*source, nullptr, scorer, options); });
  };
  TRM_TEST_MENTIONS(trouble({.length = 11}), "--length 11: the model reads at most 10 tokens");
  TRM_TEST_MENTIONS(trouble({.length = 5, .stride = 6}), "--stride 6: a window reads 5 tokens");
  TRM_TEST_MENTIONS(error_of([&] {
                      const auto empty = write_file(folder / "empty.txt", "");
                      (void)read_text({empty}, {}, ByteTokenizer(), 1);
                    }),
                    "empty.txt: there is no text");
  {
    TokenFileWriter writer(folder / "m.h5", ByteTokenizer(),
                           {.kind = "chat", .loss_mask = true});
    writer.append(Tokens{'a'}, std::vector<std::uint8_t>{0});
    writer.end_document(false);
    writer.finish("0");
  }
  const TokenFile masked(folder / "m.h5");
  TRM_TEST_MENTIONS(error_of([&] { (void)measure_loss(masked, nullptr, scorer, {}); }),
                    "there is no token whose loss counts");
  std::vector<std::string> paths{write_file(folder / "bad.jsonl", "{\"text\": 3}\n")};
  TRM_TEST_MENTIONS(error_of([&] { (void)read_text(paths, {}, ByteTokenizer(), 1); }),
                    "bad.jsonl, line 1: the value of \"text\" is not a text, but a number");
}

BOOST_AUTO_TEST_SUITE_END()
