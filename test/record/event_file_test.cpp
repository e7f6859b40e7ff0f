// SPDX-License-Identifier: Apache-2.0
// Event files byte by byte. Protobuf's own library makes the same bytes of TensorBoard's
// messages. test/program/files/tensorboard_peer.py reads whole files with TensorBoard.
#include "../../src/record/event_file.hpp"

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

using namespace trireme;

namespace {

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

const std::string kHead = "09000000000000f83f";  // wall time 1.5
const std::string kStep = "10ac02";              // 300

}  // namespace

BOOST_AUTO_TEST_SUITE(event_files)

BOOST_AUTO_TEST_CASE(sums_are_crc32c) {
  BOOST_TEST(event_file::crc32c("") == 0U);
  BOOST_TEST(event_file::crc32c("123456789") == 0xE3069283U);
  // RFC 3720, B.4
  BOOST_TEST(event_file::crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  BOOST_TEST(event_file::crc32c(std::string(32, '\xff')) == 0x62A8AB43U);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  BOOST_TEST(event_file::crc32c(rising) == 0x46DD794EU);
}

BOOST_AUTO_TEST_CASE(a_record_has_length_sums_and_data) {
  BOOST_TEST(hex(event_file::record("trireme")) ==
             "0700000000000000bbd79f1174726972656d655739a419");
  const std::string long_one = event_file::record(std::string(70'000, 'x'));
  BOOST_TEST(long_one.size() == 70'016U);
  BOOST_TEST(hex(long_one.substr(0, 8)) == "7011010000000000");
}

BOOST_AUTO_TEST_CASE(events_are_protobufs) {
  BOOST_TEST(hex(event_file::version(1.5)) == kHead + "1a0d627261696e2e4576656e743a32");
  BOOST_TEST(hex(event_file::session_start(1.5, 300)) == kHead + kStep + "3a020801");
  BOOST_TEST(hex(event_file::session_start(1.5, 0)) == kHead + "3a020801");
  BOOST_TEST(hex(event_file::scalars(1.5, 300, {{"train/loss", 2.5}, {"b", -1}})) ==
             kHead + kStep + "2a1d0a110a0a747261696e2f6c6f737315000020400a080a016215000080bf");
  BOOST_TEST(hex(event_file::scalars(1.5, 300, {{"b", 0}})) ==
             kHead + kStep + "2a0a0a080a01621500000000");
  BOOST_TEST(
      hex(event_file::text(1.5, 300, "deck", "a: 1")) ==
      kHead + kStep +
          "2a240a220a046465636b420e08071204120208014204613a20314a0a0a060a04746578742002");
}

BOOST_AUTO_TEST_CASE(long_texts_and_steps_take_longer_numbers) {
  const std::string text =
      event_file::text(1.5, std::int64_t{1} << 40U, "t", std::string(300, 'x'));
  BOOST_TEST(hex(text).starts_with(kHead + "10808080808020"));
  BOOST_TEST(hex(text).find("42ac02" + hex(std::string(300, 'x'))) != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
