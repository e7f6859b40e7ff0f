// SPDX-License-Identifier: Apache-2.0
// Collectives, messages, agreement and the mesh, at the size that mpirun gives.
#include <cerrno>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <set>

#include <boost/test/unit_test.hpp>

#include "trireme/comm/collectively.hpp"
#include "trireme/comm/mesh.hpp"
#include "trireme/comm/mpi.hpp"

namespace {

using namespace trireme;

/// MPI is started by the test program's main; this only wraps the world.
Communicator& world() {
  static const auto comm = world_communicator();
  return *comm;
}

template <class T>
View view(std::vector<T>& v) {
  return {v.data(), kDTypeOf<T>, Shape{static_cast<std::int64_t>(v.size())}};
}

int ranks() { return world().size(); }
int me() { return world().rank(); }

}  // namespace

BOOST_AUTO_TEST_CASE(size_is_the_launchers) {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  BOOST_REQUIRE(size != nullptr);  // so that this program can't pass outside mpirun
  BOOST_TEST(ranks() == std::stoi(size));
}

BOOST_AUTO_TEST_CASE(all_reduce_sums_and_takes_extremes) {
  std::vector<float> x(1000);
  std::iota(x.begin(), x.end(), static_cast<float>(me()));
  world().all_reduce(view(x), Reduction::sum);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float expected = static_cast<float>(ranks()) * static_cast<float>(i) +
                           static_cast<float>(ranks() * (ranks() - 1)) / 2;
    BOOST_REQUIRE_EQUAL(x[i], expected);
  }
  BOOST_TEST(world().reduce_count(me(), Reduction::max) == ranks() - 1);
  BOOST_TEST(world().reduce_value(me() + 1.5, Reduction::min) == 1.5);
}

BOOST_AUTO_TEST_CASE(gather_and_scatter_are_adjoint) {
  const auto n = static_cast<std::size_t>(ranks());
  std::vector<float> mine(3, static_cast<float>(me()));
  std::vector<float> all(3 * n, -1);
  world().all_gather(view(mine), view(all));
  for (std::size_t i = 0; i < all.size(); ++i)
    BOOST_REQUIRE(all[i] == static_cast<float>(i / 3));
  world().reduce_scatter(view(all), view(mine));
  for (const float v : mine) BOOST_TEST(v == static_cast<float>(ranks() * me()));
}

BOOST_AUTO_TEST_CASE(strided_windows_and_wrong_counts_are_refused) {
  std::vector<float> x(12);
  const View matrix(x.data(), DType::f32, Shape{3, 4});
  BOOST_CHECK_THROW(world().all_reduce(matrix.slice_cols(0, 2), Reduction::sum), Error);
  std::vector<float> y(static_cast<std::size_t>(ranks()) * 12 + 1);
  BOOST_CHECK_THROW(world().all_gather(view(x), view(y)), Error);
}

BOOST_AUTO_TEST_CASE(messages_match_by_tag_in_any_order) {
  const int next = (me() + 1) % ranks();
  const int previous = (me() + ranks() - 1) % ranks();
  std::vector<float> out1{1.0F + static_cast<float>(me())};
  std::vector<float> out2{100.0F + static_cast<float>(me())};
  std::vector<float> in1(1);
  std::vector<float> in2(1);
  auto r2 = world().start_receive(view(in2), previous, 2);
  auto r1 = world().start_receive(view(in1), previous, 1);
  auto s1 = world().start_send(view(out1), next, 1);
  auto s2 = world().start_send(view(out2), next, 2);
  for (auto* r : {&r1, &r2, &s1, &s2}) (*r)->wait();
  BOOST_TEST(in1[0] == 1.0F + static_cast<float>(previous));
  BOOST_TEST(in2[0] == 100.0F + static_cast<float>(previous));
}

BOOST_AUTO_TEST_CASE(texts) {
  BOOST_TEST(world().broadcast_text(me() == 0 ? "deck" : "", 0) == "deck");
  BOOST_TEST(world().broadcast_text("", 0).empty());
  const auto all = world().gather_text(std::string(static_cast<std::size_t>(me()), 'x'), 0);
  if (me() == 0) {
    BOOST_REQUIRE(static_cast<int>(all.size()) == ranks());
    for (std::size_t i = 0; i < all.size(); ++i) BOOST_TEST(all[i].size() == i);
  } else {
    BOOST_TEST(all.empty());
  }
}

BOOST_AUTO_TEST_CASE(one_failing_rank_fails_all_with_its_message) {
  BOOST_CHECK_NO_THROW(world().agree(std::nullopt));
  std::optional<Error> mine;
  if (me() == ranks() - 1) mine = Error("disk full", ENOSPC);
  BOOST_CHECK_EXCEPTION(world().agree(mine), Error, [](const Error& e) {
    return std::string(e.what()) == "disk full" && e.everywhere() &&
           e.system_error() == ENOSPC && e.kind() == ErrorKind::disk_full;
  });
}

BOOST_AUTO_TEST_CASE(work_that_fails_on_some_ranks_fails_on_all) {
  BOOST_TEST(collectively(world(), [] { return me() + 1; }) == me() + 1);
  const auto owned = collectively(world(), [] { return std::make_unique<int>(me()); });
  BOOST_TEST(*owned == me());
  int done = 0;
  collectively(world(), [&] { ++done; });
  BOOST_TEST(done == 1);

  // The lowest failing rank speaks for all, and what it says stays classified.
  const int first = ranks() / 2;
  const auto fail_from_first = [&]() -> int {
    ++done;
    TRM_REQUIRE_SYSTEM(me() != first, EACCES, "rank {}", first);
    TRM_REQUIRE(me() < first, "rank {}", me());
    return 0;
  };
  BOOST_CHECK_EXCEPTION(collectively(world(), fail_from_first), Error, [&](const Error& e) {
    return e.everywhere() && e.system_error() == EACCES && e.kind() == ErrorKind::unavailable &&
           std::string(e.what()) == fmt::format("rank {}: {}", first, strerror(EACCES));
  });
  BOOST_TEST(done == 2);
  BOOST_CHECK_EXCEPTION(
      collectively(world(), [] { throw std::runtime_error("no Error"); }), Error,
      [](const Error& e) { return e.everywhere() && std::string(e.what()) == "no Error"; });
}

BOOST_AUTO_TEST_CASE(rank_order_is_tensor_then_data_then_pipeline) {
  const MeshShape shape{.dp = 3, .tp = 2, .pp = 4};
  BOOST_TEST(rank_of(shape, {.dp = 1, .tp = 0, .pp = 0}) == 2);
  BOOST_TEST(rank_of(shape, {.dp = 0, .tp = 1, .pp = 0}) == 1);
  BOOST_TEST(rank_of(shape, {.dp = 0, .tp = 0, .pp = 1}) == 6);
  std::set<int> seen;
  for (int r = 0; r < shape.size(); ++r) seen.insert(rank_of(shape, index_of(shape, r)));
  BOOST_TEST(static_cast<int>(seen.size()) == shape.size());
}

BOOST_AUTO_TEST_CASE(groups_hold_the_ranks_that_they_should) {
  for (const int tp : {1, 2, 4}) {
    for (const int pp : {1, 2, 4}) {
      if (ranks() % (tp * pp) != 0) continue;
      const Mesh mesh({.dp = ranks() / (tp * pp), .tp = tp, .pp = pp}, world());
      BOOST_TEST(mesh.tp->size() == tp);
      BOOST_TEST(mesh.tp->rank() == mesh.at.tp);
      BOOST_TEST(mesh.pp->rank() == mesh.at.pp);
      BOOST_TEST(mesh.dp->rank() == mesh.at.dp);
      BOOST_TEST(mesh.ends->size() == (pp == 1                                   ? 1
                                       : mesh.first_stage() || mesh.last_stage() ? 2
                                                                                 : 1));
      // Every member of a data-parallel group has the same place in the model.
      const std::int64_t place = mesh.at.pp * tp + mesh.at.tp;
      BOOST_TEST(mesh.dp->reduce_count(place, Reduction::max) == place);
      BOOST_TEST(mesh.dp->reduce_count(place, Reduction::min) == place);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_group_of_one) {
  const auto self = make_self_communicator();
  std::vector<float> x{3};
  std::vector<float> y{0};
  self->all_reduce(view(x), Reduction::sum);
  self->all_gather(view(x), view(y));
  BOOST_TEST(y[0] == 3);
  BOOST_CHECK_THROW((void)self->start_send(view(x), 1, 0), Error);
}
