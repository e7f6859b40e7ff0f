// SPDX-License-Identifier: Apache-2.0
// The levers of memory change no bit. Each mesh trains ZeRO's stages, overlap, accumulation,
// recomputation and precision, and is held against stage 0. Any four of the five meet in each
// way on each mesh; all five do in the campaigns.
#include <cmath>
#include <map>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../support/turns.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

const char* const kPrecisions[] = {"fp32", "bfloat16"};

/// Reference runs of one mesh, each made once.
class References {
 public:
  explicit References(const LeverMesh& mesh) : mesh_(mesh) {}
  const Training& of(int accumulation, int precision) {
    auto& place = made_[{accumulation, precision}];
    if (place.steps.empty()) {
      const Json deck = lever_deck(mesh_, accumulation, precision, {{"stage", 0}});
      place = train(deck, mesh_.ranks);
      check(place, deck["gradient_clipping"].get<double>());
    }
    return place;
  }

 private:
  /// A reference must be finite, learn, and have clipped steps.
  static void check(const Training& run, double clipping) {
    const auto loss = run.losses();
    const auto norm = run.norms();
    BOOST_TEST(std::isfinite(loss.back()));
    BOOST_TEST(loss.back() < loss.front() - 0.05);
    BOOST_TEST(*std::max_element(norm.begin(), norm.end()) > clipping);
  }
  const LeverMesh& mesh_;
  std::map<std::pair<int, int>, Training> made_;
};

void compare(const LeverMesh& mesh, const std::string& what, const Json& deck,
             const Training& expected) {
  const std::string off = difference(train(deck, mesh.ranks), expected);
  BOOST_TEST(off.empty(), mesh.name << ' ' << what << ": " << off);
}

void check_product(const LeverMesh& mesh, References& references) {
  int turn = mesh.turn;
  for (int stage = 0; stage < 4; ++stage) {
    for (const bool overlap : {true, false}) {
      for (const int accumulation : {1, 4}) {
        for (std::size_t recompute = 0; recompute < kRecompute.size(); ++recompute) {
          for (int precision = 0; precision < 2; ++precision, ++turn) {
            const int levels =
                stage + overlap + accumulation / 4 + static_cast<int>(recompute) + precision;
            if (!whole_products() && (levels + mesh.turn) % 2 != 0) continue;
            const auto limits = static_cast<std::size_t>(turn / 5 + turn) % kLimits.size();
            Json zero = merged({{"stage", stage}, {"overlap_comm", overlap}}, kLimits[limits]);
            Json more = kRecompute[recompute];
            if (recompute >= 2) more["partition_activations"] = turn / 3 % 2 == 0;
            compare(mesh,
                    fmt::format("stage {} overlap {} accumulation {} recompute {} {} limits {}",
                                stage, overlap, accumulation, recompute, kPrecisions[precision],
                                limits),
                    lever_deck(mesh, accumulation, precision, zero, more),
                    references.of(accumulation, precision));
          }
        }
      }
    }
  }
}

/// `reduce_once_per_step` makes stages 0 and 1 alike and changes nothing with one micro-batch.
void check_reduce_once(const LeverMesh& mesh, References& references) {
  for (const int accumulation : {1, 4}) {
    for (int precision = 0; precision < 2; ++precision) {
      const auto deck = [&](int stage) {
        return lever_deck(mesh, accumulation, precision,
                          {{"stage", stage},
                           {"reduce_once_per_step", true},
                           {"overlap_comm", (stage == 0) == (precision == 0)}});
      };
      const Training once = train(deck(0), mesh.ranks);
      if (accumulation == 1) {
        const std::string off = difference(once, references.of(1, precision));
        BOOST_TEST(off.empty(), mesh.name << " once: " << off);
      }
      compare(mesh, "once, stage 1", deck(1), once);
    }
  }
}

/// Other buckets add the norm in another order, and so the norm's last bits alone may differ.
void check_layouts(const LeverMesh& mesh, References& references) {
  const int precision = mesh.turn % 2;
  const Training& expected = references.of(4, precision);
  for (const auto& [stage, layout] : {std::pair(0, kLayouts[1]), std::pair(3, kLayouts[2])}) {
    Training got =
        train(lever_deck(mesh, 4, precision, merged({{"stage", stage}}, layout)), mesh.ranks);
    for (std::size_t i = 0; i < expected.steps.size(); ++i) {
      const double norm = expected.steps[i].gradient_norm;
      BOOST_TEST(std::abs(got.steps.at(i).gradient_norm - norm) <= 1e-14 * norm);
      got.steps[i].gradient_norm = norm;
    }
    const std::string off = difference(got, expected);
    BOOST_TEST(off.empty(), mesh.name << " stage " << stage << ' ' << layout << ": " << off);
  }
}

/// A copy of the values that neighbours share. Its gathers replace gathers from all ranks.
/// Stage 3 without the copy has the same bits.
void check_neighbours(const LeverMesh& mesh) {
  int turn = 0;
  for (const int accumulation : {1, 4}) {
    for (const Json& limits : kLimits) {
      const int precision = turn++ % 2;
      const Json recompute = kRecompute[static_cast<std::size_t>(turn) % kRecompute.size()];
      const auto deck = [&](int near) {
        return lever_deck(
            mesh, accumulation, precision,
            merged({{"stage", 3},
                    {"stage3_param_persistence_threshold", turn % 3 == 0 ? 100 : 0},
                    {"zero_hpz_partition_size", near}},
                   limits),
            recompute);
      };
      const Training plain = train(deck(1), mesh.ranks);
      const Training near = train(deck(2), mesh.ranks);
      const std::string off = difference(near, plain);
      BOOST_TEST(off.empty(), mesh.name << " neighbours, limits " << limits << ": " << off);
      for (std::size_t i = 0; i < near.steps.size(); ++i) {
        const auto& step = near.steps[i];
        BOOST_TEST(step.reduced == plain.steps[i].reduced);
        BOOST_TEST(step.gathered + step.nearby == plain.steps[i].gathered);
        BOOST_TEST(step.gathered <= step.parameters);  // each value at most once
        BOOST_TEST((i > 0 || step.gathered > 0));      // an evaluation may fill the copy
      }
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(levers)

BOOST_AUTO_TEST_CASE(a_copy_that_neighbours_share_changes_no_bit) {
  const LeverMesh pipeline = mesh_of("dp4_pp2", {.dp = 4, .pp = 2}, {{"num_layers", 2}});
  for (const LeverMesh& mesh : {lever_mesh("dp4"), pipeline}) check_neighbours(mesh);
}

BOOST_DATA_TEST_CASE(no_lever_changes_a_bit, bdata::make(lever_meshes()), mesh) {
  References references(mesh);
  check_product(mesh, references);
  check_reduce_once(mesh, references);
  check_layouts(mesh, references);
}

BOOST_AUTO_TEST_SUITE_END()
