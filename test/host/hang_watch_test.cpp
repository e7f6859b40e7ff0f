// SPDX-License-Identifier: Apache-2.0
// Watches over waits: notes, conclusions, and what a watch does when a rank hangs.
#include "trireme/host/hang_watch.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

WaitNote waiting(const char* operation, NamedRanks group, std::int64_t number, bool late,
                 int peer = -1) {
  return {.host = "n1",
          .wait = Wait{operation, std::move(group), number, peer, 0},
          .seconds = 31,
          .late = late};
}

void nap(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// A watch whose lines and end are kept.
struct Watched {
  std::vector<std::string> lines;
  std::atomic<bool> ended = false;
  HangWatch watch;

  Watched(double timeout, const std::string& folder, int rank, int ranks)
      : watch({.timeout = timeout,
               .folder = folder,
               .rank = rank,
               .ranks = ranks,
               .host = "n1",
               .say = [this](const std::string& line) { lines.push_back(line); },
               .end = [this] { ended = true; }}) {}
};

}  // namespace

BOOST_AUTO_TEST_SUITE(hang_watch)

BOOST_AUTO_TEST_CASE(a_note_survives_its_text) {
  const WaitNote note = waiting("all_reduce", {"dp", {0, 2, 4}}, 812, true);
  const auto back = wait_note_of(to_text(note));
  BOOST_REQUIRE((back && back->wait));
  BOOST_TEST(back->host == "n1");
  BOOST_TEST(back->wait->operation == "all_reduce");
  BOOST_TEST((back->wait->group == note.wait->group));
  BOOST_TEST(back->wait->number == 812);
  BOOST_TEST(back->wait->peer == -1);
  BOOST_TEST(back->seconds == 31);
  BOOST_TEST(back->late);
  const auto computing = wait_note_of(to_text({.host = "n2", .wait = {}, .seconds = 0}));
  BOOST_REQUIRE(computing.has_value());
  BOOST_TEST(!computing->wait.has_value());
  const std::string half = to_text(note).substr(0, 20);
  BOOST_TEST(!wait_note_of(half).has_value());
  BOOST_TEST(!wait_note_of("").has_value());
}

BOOST_AUTO_TEST_CASE(a_rank_without_a_note_is_the_cause) {
  const NamedRanks dp{"dp", {0, 1, 2}};
  const auto lines = explain_waits(
      {{0, waiting("all_reduce", dp, 7, true)}, {2, waiting("all_reduce", dp, 7, true)}}, 3);
  BOOST_TEST(lines == (std::vector<std::string>{
                          "all_reduce number 7 of dp: ranks 0, 2 wait; rank 1 did not come",
                          "rank 1 gave no sign: it is stopped, lost, or cannot write files"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_chain_of_waits_leads_to_the_rank_that_computes) {
  const auto lines = explain_waits({{0, waiting("barrier", {"world", {}}, 3, true)},
                                    {1, waiting("receive", {"pp", {1, 3}}, 0, true, 3)},
                                    {2, waiting("barrier", {"world", {}}, 3, false)},
                                    {3, {.host = "n2", .wait = {}, .seconds = 0}}},
                                   4);
  BOOST_TEST(lines == (std::vector<std::string>{
                          "barrier number 3 of world: ranks 0, 2 wait; ranks 1, 3 did not come",
                          "receive of pp with rank 3: rank 1 waits; rank 3 did not come",
                          "rank 3 on n2 computes",
                          "rank 1 on n1 waits in receive of pp with rank 3 for 31 s"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_earlier_collective_of_the_group_is_no_coming) {
  const NamedRanks tp{"tp", {0, 1}};
  const auto lines = explain_waits(
      {{0, waiting("all_gather", tp, 8, true)}, {1, waiting("all_reduce", tp, 7, true)}}, 2);
  BOOST_TEST(lines == (std::vector<std::string>{
                          "all_gather number 8 of tp: rank 0 waits; rank 1 did not come",
                          "all_reduce number 7 of tp: ranks 0, 1 wait",
                          "rank 1 on n1 waits in all_reduce number 7 of tp for 31 s"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_wait_that_is_too_long_ends_the_run) {
  const test::TemporaryFolder folder;
  Watched watched(0.2, folder / "waits", 1, 3);
  BOOST_TEST(!current_wait().has_value());
  nap(0.4);  // computing is never too long
  {
    const WaitScope wait("all_reduce",
                         std::make_shared<const NamedRanks>(NamedRanks{"dp", {0, 1}}), 5);
    const WaitScope inner("receive", nullptr);
    BOOST_REQUIRE(current_wait().has_value());
    BOOST_TEST(current_wait()->operation == "all_reduce");
    for (int i = 0; i < 100 && !watched.ended; ++i) nap(0.05);
  }
  BOOST_REQUIRE(watched.ended.load());
  BOOST_REQUIRE(watched.lines.size() == 3U);
  BOOST_TEST(watched.lines[0].starts_with("no progress for "));
  BOOST_TEST(watched.lines[0].find("rank 1 on n1 waits in all_reduce number 5 of dp") !=
             std::string::npos);
  BOOST_TEST(watched.lines[1] ==
             "all_reduce number 5 of dp: rank 1 waits; rank 0 did not come");
  BOOST_TEST(!std::filesystem::exists(folder / "waits"));
}

BOOST_AUTO_TEST_CASE(a_wait_that_ends_in_time_ends_nothing) {
  const test::TemporaryFolder folder;
  {
    Watched watched(0.3, folder / "waits", 0, 2);
    for (int i = 0; i < 8; ++i) {
      const WaitScope wait("barrier", nullptr);
      nap(0.1);
    }
    BOOST_TEST(!watched.ended.load());
    BOOST_TEST(watched.lines.empty());
  }
  BOOST_TEST(!std::filesystem::exists(folder / "waits"));
}

BOOST_AUTO_TEST_SUITE_END()
