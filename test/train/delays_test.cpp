// SPDX-License-Identifier: Apache-2.0
// Ranks that are late at random change no bit. Nor does communication that uses a rank's memory
// until some rank waits for it. Overlapped runs are held against stage 0 without delays.
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

constexpr int kRuns = 8;  // for each mesh

}  // namespace

BOOST_AUTO_TEST_SUITE(delays)

BOOST_DATA_TEST_CASE(late_ranks_change_no_bit,
                     bdata::make({"dp2", "dp2_pp2", "dp4", "dp2_pp2_interleaved",
                                  "dp2_tp2_pp2_sp_interleaved"}),
                     name) {
  const LeverMesh& mesh = lever_mesh(name);
  for (const int precision : {0, 1}) {
    const Training expected = train(lever_deck(mesh, 4, precision, {{"stage", 0}}), mesh.ranks);
    for (int run = precision; run < kRuns; run += 2) {
      const int stage = run / 2 % 4;
      const auto limits = static_cast<std::size_t>(run + mesh.turn) % kLimits.size();
      const Json zero = merged({{"stage", stage}}, kLimits[limits]);
      const auto seed = static_cast<std::uint64_t>(100 * mesh.turn + run + 1);
      const std::string off = difference(
          train(lever_deck(mesh, 4, precision, zero), mesh.ranks, {.delays = seed}), expected);
      BOOST_TEST(off.empty(), "stage " << stage << " seed " << seed << ": " << off);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
