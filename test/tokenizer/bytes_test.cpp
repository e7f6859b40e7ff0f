// SPDX-License-Identifier: Apache-2.0
// The tokenizer of single bytes.
#include <boost/test/unit_test.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

#include "../support/error_of.hpp"

using namespace trireme;
using test::error_of;
using Tokens = std::vector<std::int32_t>;

BOOST_AUTO_TEST_CASE(the_byte_tokenizer) {
  const ByteTokenizer bytes;
  Tokens tokens{7};
  bytes.encode(std::string_view("a\0\xff", 3), tokens);
  BOOST_TEST(tokens == (Tokens{7, 97, 0, 255}), boost::test_tools::per_element());
  BOOST_TEST(bytes.decode(Tokens{104, 105, 256, 255}) == "hi\xff");
  BOOST_CHECK_THROW((void)bytes.decode(Tokens{257}), Error);
  BOOST_TEST(bytes.split_point("abc") == 3U);
  BOOST_TEST(make_tokenizer("bytes", "")->vocab_size() == 257);
  TRM_TEST_MENTIONS(error_of([] { (void)make_tokenizer("words", ""); }), "bytes");
}
