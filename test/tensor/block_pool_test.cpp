// SPDX-License-Identifier: Apache-2.0
// Arenas: whose a block is, wherever it is freed, and what the accounts say of it.
#include "trireme/device/block_pool.hpp"

#include <cstdlib>
#include <optional>
#include <set>

#include <boost/test/unit_test.hpp>

namespace {

using namespace trireme;
using Place = Arena::Place;

struct Fixture {
  std::set<void*> system;  ///< taken from it
  BlockPool pool{[this](std::size_t size) { return *system.insert(std::malloc(size)).first; }};
  ~Fixture() {
    for (void* block : system) std::free(block);
  }
  void drop() {
    pool.drop_kept([&](void* block) {
      system.erase(block);
      std::free(block);
    });
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(block_pool)

BOOST_FIXTURE_TEST_CASE(an_arena_shares_no_block, Fixture) {
  const Arena arena(pool);
  const Arena other(pool);
  void* const everybodys = pool.allocate(1000);
  pool.release(everybodys);
  void* mine = nullptr;
  {
    const Arena::Scope scope(arena, Place::inside);
    mine = pool.allocate(1000);
    BOOST_TEST(mine != everybodys);
    const Arena::Scope outside(arena, Place::outside);
    BOOST_TEST(pool.allocate(1000) == everybodys);
  }
  pool.release(mine);  // outside of the scope: it is the arena's still
  BOOST_TEST(pool.allocate(1000) != mine);
  {
    const Arena::Scope scope(other, Place::inside);
    BOOST_TEST(pool.allocate(1000) != mine);
  }
  const Arena::Scope scope(arena, Place::inside);
  pool.release(everybodys);  // in the scope: it is everybody's still
  BOOST_TEST(pool.allocate(1000) == mine);
  BOOST_TEST(pool.allocate(1000) != everybodys);
  const Arena::Scope outside(arena, Place::outside);
  BOOST_TEST(pool.allocate(1000) == everybodys);
}

BOOST_FIXTURE_TEST_CASE(its_bytes_count_in_both_accounts, Fixture) {
  const Arena arena(pool);
  pool.release(pool.allocate(640));
  void* mine = nullptr;
  {
    const Arena::Scope scope(arena, Place::inside);
    mine = pool.allocate(1280);
  }
  BOOST_TEST(arena.in_use() == 1280U);
  BOOST_TEST(arena.reserved() == 1280U);
  BOOST_TEST(pool.use().in_use == 1280U);
  BOOST_TEST(pool.use().reserved == 1920U);
  BOOST_TEST(pool.kept().size() == 1U);
  pool.release(mine);
  BOOST_TEST(arena.in_use() == 0U);
  BOOST_TEST(arena.reserved() == 1280U);
  BOOST_TEST(pool.kept().size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(it_keeps_what_others_give_back, Fixture) {
  std::optional<Arena> arena(std::in_place, pool);
  void* mine = nullptr;
  void* live = nullptr;
  {
    const Arena::Scope scope(*arena, Place::inside);
    mine = pool.allocate(1280);
    live = pool.allocate(640);
  }
  pool.release(mine);
  drop();
  BOOST_TEST(system.contains(mine));
  BOOST_TEST(arena->reserved() == 1920U);
  arena.reset();  // then all of it is everybody's
  BOOST_TEST(pool.use().reserved == 1920U);
  pool.release(live);
  drop();
  BOOST_TEST(system.empty());
  BOOST_TEST(pool.use().reserved == 0U);
}

/// What graphs rest on: the same requests find the same blocks' sizes again.
BOOST_FIXTURE_TEST_CASE(requests_that_fit_once_fit_again, Fixture) {
  const Arena arena(pool);
  const auto round = [&] {
    const Arena::Scope scope(arena, Place::inside);
    void* const a = pool.allocate(1000);
    void* const b = pool.allocate(1200);
    pool.release(a);
    void* const c = pool.allocate(1100);
    void* const d = pool.allocate(900);
    for (void* block : {b, c, d}) pool.release(block);
  };
  std::size_t before = 0;
  do {
    before = arena.reserved();
    round();
  } while (arena.reserved() != before);
  for (int i = 0; i < 10; ++i) {
    pool.release(pool.allocate(1100));
    round();
    BOOST_TEST(arena.reserved() == before);
  }
}

BOOST_AUTO_TEST_SUITE_END()
