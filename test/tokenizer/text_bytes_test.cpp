// SPDX-License-Identifier: Apache-2.0
// Bytes of text an id stands for.
#include "trireme/tokenizer/text_bytes.hpp"

#include <numeric>

#include <boost/test/unit_test.hpp>

using namespace trireme;

BOOST_AUTO_TEST_CASE(a_byte_an_id_but_none_for_the_end) {
  const auto bytes = text_bytes(ByteTokenizer());
  BOOST_TEST(bytes.size() == 257U);
  BOOST_TEST(bytes[256] == 0);
  BOOST_TEST(std::accumulate(bytes.begin(), bytes.end(), 0) == 256);
}

BOOST_AUTO_TEST_CASE(ids_that_stand_for_no_token_have_no_text) {
  const auto bytes = text_bytes(CharacterTokenizer());
  BOOST_TEST(bytes.size() == 512U);
  BOOST_TEST(bytes['a'] == 1);
  BOOST_TEST(bytes[256] == 0);
  BOOST_TEST(bytes[511] == 0);
}

BOOST_AUTO_TEST_CASE(ids_of_a_text_have_its_bytes) {
  const auto tokenizer =
      open_tokenizer({.name = TRIREME_TEST_DIR "/../inputs/gcide-tokenizer.json"});
  const auto bytes = text_bytes(*tokenizer);
  const std::string text = "  The na\u00efve \u4e2d reader's\n\n 12345 words\xff.";
  std::vector<std::int32_t> ids;
  tokenizer->encode(text, ids);
  BOOST_TEST(ids.size() < text.size());
  std::size_t sum = 0;
  for (const std::int32_t id : ids) sum += bytes[static_cast<std::size_t>(id)];
  BOOST_TEST(sum == tokenizer->decode(ids).size());
  BOOST_TEST(bytes[static_cast<std::size_t>(tokenizer->end_of_document())] == 0);
}
