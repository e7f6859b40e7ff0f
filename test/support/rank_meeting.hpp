// SPDX-License-Identifier: Apache-2.0
// RankMeeting: a communication between rank threads, which moves the memory of all ranks.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/comm/communicator.hpp"

#include "fabric.hpp"

namespace trireme::test {

struct Group;

enum class Call : std::uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  broadcast,
  barrier,
  split,
  gather_text,
  message
};
[[nodiscard]] std::string_view name_of(Call call);

/// The arguments of one rank's call.
struct Post {
  ConstView from = {};
  View to = {};
  View room = {};
  bool accumulate = false;
  Reduction op = Reduction::sum;
  int root = 0;
  int color = 0;
  int key = 0;
  const std::string* text = nullptr;
  std::vector<std::string>* texts = nullptr;
  std::shared_ptr<Group> group = nullptr;  ///< this rank's result of split
  int rank = 0;                            ///< this rank's number in `group`
};

/// One collective of all ranks of a communicator, or a message, where post 0 is the sender's.
struct RankMeeting : Completion {
  RankMeeting(Call c, std::size_t ranks) : call(c), posts(ranks), here(ranks, false) {}
  Call call;
  std::vector<Post> posts;
  std::vector<bool> here;
  std::size_t arrived = 0;
  bool moving = false;  ///< some rank runs move()
  std::vector<std::byte> copy;
  int sender = 0;
  int receiver = 0;
  int tag = 0;

  [[nodiscard]] bool ready() const { return arrived == posts.size() && !done && !moving; }
};

/// Reads all ranks' inputs and writes all their results. Throws Error where they don't match.
/// Leaves `split` to the caller.
void move(RankMeeting& meeting);

/// Throws Error if `later` can't belong to the same call as `first`.
void check_same_call(Call first_call, const Post& first, Call later_call, const Post& later);

}  // namespace trireme::test
