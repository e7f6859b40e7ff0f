// SPDX-License-Identifier: Apache-2.0
// Collectives, messages, agreement and splits.
#include "communicator_cases.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "trireme/comm/collectively.hpp"
#include "trireme/comm/mesh.hpp"

namespace trireme::test {

namespace {

template <class T>
View view(std::vector<T>& v) {
  return {v.data(), kDTypeOf<T>, Shape{static_cast<std::int64_t>(v.size())}};
}

void all_reduce_sums_and_takes_extremes(Communicator& world) {
  std::vector<float> x(1000);
  std::iota(x.begin(), x.end(), static_cast<float>(world.rank()));
  world.all_reduce(view(x), Reduction::sum);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float expected = static_cast<float>(world.size()) * static_cast<float>(i) +
                           static_cast<float>(world.size() * (world.size() - 1)) / 2;
    must(x[i] == expected);
  }
  must(world.reduce_count(world.rank(), Reduction::max) == world.size() - 1);
  must(world.reduce_value(world.rank() + 1.5, Reduction::min) == 1.5);
}

void gather_and_scatter_are_adjoint(Communicator& world) {
  const auto n = static_cast<std::size_t>(world.size());
  std::vector<float> mine(3, static_cast<float>(world.rank()));
  std::vector<float> all(3 * n, -1);
  world.all_gather(view(mine), view(all));
  for (std::size_t i = 0; i < all.size(); ++i) must(all[i] == static_cast<float>(i / 3));
  world.reduce_scatter(view(all), view(mine));
  for (const float v : mine) must(v == static_cast<float>(world.size() * world.rank()));
}

void strided_windows_and_wrong_counts_are_refused(Communicator& world) {
  std::vector<float> x(12);
  const View matrix(x.data(), DType::f32, Shape{3, 4});
  must(message_of([&] {
         world.all_reduce(matrix.slice_cols(0, 2), Reduction::sum);
       }).find("strided") != std::string::npos);
  std::vector<float> y(static_cast<std::size_t>(world.size()) * 12 + 1);
  must(message_of([&] { world.all_gather(view(x), view(y)); }).find("blocks of [12]") !=
       std::string::npos);
}

void messages_match_by_tag_in_any_order(Communicator& world) {
  const int next = (world.rank() + 1) % world.size();
  const int previous = (world.rank() + world.size() - 1) % world.size();
  std::vector<float> out1{1.0F + static_cast<float>(world.rank())};
  std::vector<float> out2{100.0F + static_cast<float>(world.rank())};
  std::vector<float> in1(1);
  std::vector<float> in2(1);
  auto r2 = world.start_receive(view(in2), previous, 2);
  auto r1 = world.start_receive(view(in1), previous, 1);
  auto s1 = world.start_send(view(out1), next, 1);
  auto s2 = world.start_send(view(out2), next, 2);
  for (auto* r : {&r1, &r2, &s1, &s2}) (*r)->wait();
  must(in1[0] == 1.0F + static_cast<float>(previous));
  must(in2[0] == 100.0F + static_cast<float>(previous));
}

void texts(Communicator& world) {
  must(world.broadcast_text(world.rank() == 0 ? "deck" : "", 0) == "deck");
  must(world.broadcast_text("", 0).empty());
  const auto all =
      world.gather_text(std::string(static_cast<std::size_t>(world.rank()), 'x'), 0);
  if (world.rank() == 0) {
    must(static_cast<int>(all.size()) == world.size());
    for (std::size_t i = 0; i < all.size(); ++i) must(all[i].size() == i);
  } else {
    must(all.empty());
  }
}

void one_failing_rank_fails_all_with_its_message(Communicator& world) {
  world.agree(std::nullopt);
  std::optional<Error> mine;
  if (world.rank() == world.size() - 1) mine = Error("disk full", ENOSPC);
  const auto agreed = failure_of([&] { world.agree(mine); });
  must(agreed.has_value());
  must(std::string(agreed->what()) == "disk full" && agreed->everywhere());
  must(agreed->system_error() == ENOSPC && agreed->kind() == ErrorKind::disk_full);
}

void work_that_fails_on_some_ranks_fails_on_all(Communicator& world) {
  const int me = world.rank();
  must(collectively(world, [&] { return me + 1; }) == me + 1);
  must(*collectively(world, [&] { return std::make_unique<int>(me); }) == me);
  int done = 0;
  collectively(world, [&] { ++done; });
  must(done == 1);

  // All ranks throw the error of the lowest failing rank, of equal kind.
  const int first = world.size() / 2;
  const auto failed = failure_of([&] {
    collectively(world, [&] {
      ++done;
      TRM_REQUIRE_SYSTEM(me != first, EACCES, "rank {}", first);
      TRM_REQUIRE(me < first, "rank {}", me);
      return 0;
    });
  });
  must(failed.has_value() && failed->everywhere() && done == 2);
  must(failed->system_error() == EACCES && failed->kind() == ErrorKind::unavailable);
  must(std::string(failed->what()) == fmt::format("rank {}: {}", first, strerror(EACCES)));

  const auto other = failure_of(
      [&] { collectively(world, [] { throw std::runtime_error("not an Error"); }); });
  must(other.has_value() && other->everywhere());
  must(std::string(other->what()) == "not an Error");
}

void groups_hold_the_ranks_that_they_should(Communicator& world) {
  for (const int tp : {1, 2, 4}) {
    for (const int pp : {1, 2, 4}) {
      if (world.size() % (tp * pp) != 0) continue;
      const Mesh mesh({.dp = world.size() / (tp * pp), .tp = tp, .pp = pp}, world);
      must(mesh.tp->size() == tp);
      must(mesh.tp->rank() == mesh.at.tp);
      must(mesh.pp->rank() == mesh.at.pp);
      must(mesh.dp->rank() == mesh.at.dp);
      must(mesh.ends->size() == (pp == 1                                   ? 1
                                 : mesh.first_stage() || mesh.last_stage() ? 2
                                                                           : 1));
      // Every rank of a data-parallel communicator has one place in the model.
      const std::int64_t place = mesh.at.pp * tp + mesh.at.tp;
      must(mesh.dp->reduce_count(place, Reduction::max) == place);
      must(mesh.dp->reduce_count(place, Reduction::min) == place);
    }
  }
}

}  // namespace

void must(bool good, std::source_location where) {
  TRM_REQUIRE(good, "line {} of {} failed", where.line(), where.file_name());
}

std::string error_of_case(const CommunicatorCase& c, Communicator& world) {
  try {
    c.check(world);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  throw Error("no error");
}

std::vector<CommunicatorCase> collective_cases() {
  return {{"all reduce sums and takes extremes", all_reduce_sums_and_takes_extremes},
          {"gather and scatter are adjoint", gather_and_scatter_are_adjoint},
          {"strided windows and wrong counts are refused",
           strided_windows_and_wrong_counts_are_refused},
          {"messages match by tag in any order", messages_match_by_tag_in_any_order},
          {"texts", texts},
          {"one failing rank fails all with its message",
           one_failing_rank_fails_all_with_its_message},
          {"work that fails on some ranks fails on all",
           work_that_fails_on_some_ranks_fails_on_all},
          {"groups hold the ranks that they should", groups_hold_the_ranks_that_they_should}};
}

}  // namespace trireme::test
