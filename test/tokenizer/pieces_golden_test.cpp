// SPDX-License-Identifier: Apache-2.0
// Each part of a tokenizer gives what Hugging Face's tokenizers and SentencePiece gave for the
// texts of golden/pieces.json, which support/tokenizers/make_pieces_golden.py wrote.
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "../../src/tokenizer/base64.hpp"
#include "apply_part.hpp"

using namespace trireme;
using test::json;

namespace {

std::string as_text(const json& value) {
  return value.is_string() ? value.get<std::string>() : test::dump(value);
}

}  // namespace

BOOST_AUTO_TEST_CASE(parts_agree_with_the_peers) {
  std::ifstream file(TRIREME_TEST_DIR "/tokenizer/golden/pieces.json");
  const json golden = json::parse(file);
  BOOST_TEST(golden.size() > 40U);
  for (const json& each : golden) {
    const json& definition = each.at("definition");
    const test::Apply apply = test::part_from(
        each.at("part"), definition.is_string()
                             ? from_base64(definition.get<std::string>()).value()
                             : definition.dump());
    for (const json& one : each.at("cases")) {
      BOOST_TEST_INFO(each.at("part") << " " << each.at("name") << " of " << one.at(0));
      BOOST_TEST(apply(as_text(one.at(0))) == as_text(one.at(1)));
    }
  }
}
