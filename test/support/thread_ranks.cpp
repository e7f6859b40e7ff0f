// SPDX-License-Identifier: Apache-2.0
// The communicator of rank threads: which ranks meet, and when memory is moved.
#include "thread_ranks.hpp"

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "trireme/comm/blocks.hpp"

#include "rank_meeting.hpp"

namespace trireme::test {

/// The ranks of one communicator share this state. The fabric's lock guards it.
struct Group {
  Group(Fabric& f, std::vector<int> ranks) : fabric(f), world_ranks(std::move(ranks)) {}
  Fabric& fabric;
  std::vector<int> world_ranks;
  std::map<std::int64_t, std::shared_ptr<RankMeeting>>
      calls;                                         ///< by number; a rank is still missing
  std::list<std::shared_ptr<RankMeeting>> messages;  ///< one side is still missing
  std::size_t* gathered = nullptr;                   ///< see RankOptions
};

namespace {

constexpr std::int64_t kTooLong = std::int64_t{1} << 30;  // elements of a block
constexpr unsigned kLongestDelay = 200;                   // microseconds

/// Makes a communicator's state for each color, with the ranks ordered by key.
void split_group(RankMeeting& e, const Group& group) {
  std::map<int, std::vector<std::pair<int, int>>> colors;  // pairs of key and rank
  for (std::size_t r = 0; r < e.posts.size(); ++r) {
    colors[e.posts[r].color].emplace_back(e.posts[r].key, static_cast<int>(r));
  }
  for (auto& [color, members] : colors) {
    std::ranges::sort(members);
    std::vector<int> world;
    for (const auto& [key, r] : members) {
      world.push_back(group.world_ranks[static_cast<std::size_t>(r)]);
    }
    const auto made = std::make_shared<Group>(group.fabric, world);
    made->gathered = group.gathered;
    for (std::size_t i = 0; i < members.size(); ++i) {
      Post& post = e.posts[static_cast<std::size_t>(members[i].second)];
      post.group = made;
      post.rank = static_cast<int>(i);
    }
  }
}

/// Moves the memory of a meeting that has all its posts. Releases the lock meanwhile.
void run(std::unique_lock<std::mutex>& lock, RankMeeting& e, Group& group) {
  if (group.fabric.failed()) return;  // some rank may have freed its memory
  e.moving = true;
  lock.unlock();
  std::string problem;
  try {
    e.call == Call::split ? split_group(e, group) : move(e);
  } catch (const std::exception& error) {
    problem = error.what();
  }
  lock.lock();
  e.moving = false;
  if (!problem.empty()) group.fabric.fail(problem);
  group.fabric.complete(e);
}

class DoneRequest : public Request {
 public:
  bool test() override { return true; }
  void wait() override {}
};

using Draw = std::minstd_rand;

/// Sleeps in every fourth call on average, if there are delays.
void be_late(Draw* draw) {
  if (draw == nullptr || (*draw)() % 4 != 0) return;
  std::this_thread::sleep_for(std::chrono::microseconds((*draw)() % kLongestDelay));
}

class ThreadRequest : public Request {
 public:
  ThreadRequest(std::shared_ptr<RankMeeting> meeting, std::shared_ptr<Group> group, int rank,
                std::shared_ptr<Draw> draw)
      : meeting_(std::move(meeting)),
        group_(std::move(group)),
        rank_(rank),
        draw_(std::move(draw)) {}
  ThreadRequest(const ThreadRequest&) = delete;
  ThreadRequest& operator=(const ThreadRequest&) = delete;
  /// Waits while a rank uses this request's memory. Fails the run if the request is not done.
  ~ThreadRequest() override {
    std::unique_lock lock(group_->fabric.mutex());
    while (meeting_->moving) {
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      lock.lock();
    }
    if (!meeting_->done) {
      group_->fabric.fail(fmt::format("rank {} gave up {}", world_rank(), what()));
    }
  }

  bool test() override {
    be_late(draw_.get());
    std::unique_lock lock(group_->fabric.mutex());
    if (meeting_->ready() && draw_ && (*draw_)() % 2 == 0) run(lock, *meeting_, *group_);
    if (!meeting_->done) group_->fabric.throw_failure(world_rank());
    return meeting_->done;
  }
  void wait() override {
    be_late(draw_.get());
    std::unique_lock lock(group_->fabric.mutex());
    if (meeting_->ready()) run(lock, *meeting_, *group_);
    group_->fabric.wait(lock, *meeting_, world_rank(), what());
  }

 private:
  [[nodiscard]] int world_rank() const {
    return group_->world_ranks[static_cast<std::size_t>(rank_)];
  }
  [[nodiscard]] std::string what() const {
    const RankMeeting& e = *meeting_;
    if (e.call == Call::message) {
      return fmt::format("a message with tag {} from {} to {} of {} ranks", e.tag, e.sender,
                         e.receiver, group_->world_ranks.size());
    }
    return fmt::format("{} of {} ranks", name_of(e.call), e.posts.size());
  }

  std::shared_ptr<RankMeeting> meeting_;
  std::shared_ptr<Group> group_;
  int rank_;
  std::shared_ptr<Draw> draw_;  ///< null without delays
};

void require_block(const ConstView& block) {
  TRM_CHECK(block.count() < kTooLong, "a block of {} elements is too large", block.count());
}

void require_contiguous(const ConstView& v) {
  TRM_CHECK(v.contiguous(), "communication of a strided window {}", v.shape().str());
}

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, int rank, std::shared_ptr<Draw> draw)
      : group_(std::move(group)), rank_(rank), draw_(std::move(draw)) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override {
    return static_cast<int>(group_->world_ranks.size());
  }

  void all_reduce(const View& data, Reduction op) override {
    require_contiguous(data);
    start(Call::all_reduce, {.to = data, .op = op})->wait();
  }
  void all_gather(const ConstView& from, const View& to) override {
    start_all_gather(from, to)->wait();
  }
  void reduce_scatter(const ConstView& from, const View& to) override {
    check_reduce_scatter(from, to, size());
    require_block(to);
    start(Call::reduce_scatter, {.from = from, .to = to})->wait();
  }
  RequestPtr start_reduce_scatter(const ConstView& from, const View& to, bool accumulate,
                                  const View& room) override {
    check_reduce_scatter(from, to, accumulate, rank_, size());
    require_block(to);
    TRM_CHECK(room.empty() || (room.dtype() == from.dtype() && room.contiguous() &&
                               room.count() == to.count() * (size() - 1)),
              "room of {} for {} blocks of {}", room.shape().str(), size() - 1,
              to.shape().str());
    return start(Call::reduce_scatter,
                 {.from = from, .to = to, .room = room, .accumulate = accumulate});
  }
  RequestPtr start_all_gather(const ConstView& from, const View& to) override {
    check_all_gather(from, to, rank_, size());
    require_block(from);
    return start(Call::all_gather, {.from = from, .to = to});
  }
  void broadcast(const View& data, int root) override {
    require_contiguous(data);
    start(Call::broadcast, {.to = data, .root = root})->wait();
  }
  RequestPtr start_send(const ConstView& data, int to, int tag) override {
    require_contiguous(data);
    return start_message(0, {.from = data}, rank_, to, tag);
  }
  RequestPtr start_receive(const View& data, int from, int tag) override {
    require_contiguous(data);
    return start_message(1, {.to = data}, from, rank_, tag);
  }
  void barrier() override { start(Call::barrier, {})->wait(); }
  std::unique_ptr<Communicator> split(int color, int key) override {
    std::shared_ptr<RankMeeting> meeting;
    start(Call::split, {.color = color, .key = key}, &meeting)->wait();
    const Post& mine = meeting->posts[static_cast<std::size_t>(rank_)];
    return std::make_unique<ThreadCommunicator>(mine.group, mine.rank, draw_);
  }
  std::vector<std::string> gather_text(const std::string& text, int root) override {
    std::vector<std::string> texts;
    start(Call::gather_text, {.root = root, .text = &text, .texts = &texts})->wait();
    if (group_->gathered != nullptr && world_rank() == 0) {
      for (const std::string& t : texts) *group_->gathered += t.size();
    }
    return texts;
  }

 private:
  RequestPtr start(Call call, const Post& post,
                   std::shared_ptr<RankMeeting>* meeting = nullptr) {
    be_late(draw_.get());
    std::unique_lock lock(group_->fabric.mutex());
    group_->fabric.throw_failure(world_rank());
    auto& place = group_->calls[next_];
    if (!place) {
      place = std::make_shared<RankMeeting>(call, group_->world_ranks.size());
    } else {
      const auto first = std::ranges::find(place->here, true) - place->here.begin();
      check_same_call(place->call, place->posts[static_cast<std::size_t>(first)], call, post);
    }
    const std::shared_ptr<RankMeeting> e = place;
    if (++e->arrived == e->posts.size()) group_->calls.erase(next_);
    ++next_;
    if (meeting != nullptr) *meeting = e;
    return arrive(lock, e, static_cast<std::size_t>(rank_), post);
  }

  RequestPtr start_message(std::size_t side, const Post& post, int from, int to, int tag) {
    TRM_CHECK(tag >= 0 && from >= 0 && from < size() && to >= 0 && to < size(),
              "a message with tag {} from {} to {} of {} ranks", tag, from, to, size());
    be_late(draw_.get());
    std::unique_lock lock(group_->fabric.mutex());
    group_->fabric.throw_failure(world_rank());
    auto& open = group_->messages;
    const auto other = std::ranges::find_if(open, [&](const auto& m) {
      return m->sender == from && m->receiver == to && m->tag == tag && !m->here[side];
    });
    std::shared_ptr<RankMeeting> e;
    if (other != open.end()) {
      e = *other;
      open.erase(other);
    } else {
      e = open.emplace_back(std::make_shared<RankMeeting>(Call::message, 2));
      e->sender = from;
      e->receiver = to;
      e->tag = tag;
    }
    ++e->arrived;
    const bool at_once = side == 0 && draw_ && (*draw_)() % 2 == 0;
    if (!at_once) return arrive(lock, e, side, post);
    const auto* const bytes = static_cast<const std::byte*>(post.from.raw());
    e->copy.assign(bytes, bytes + post.from.bytes());
    arrive_with(lock, e, side,
                {.from = {e->copy.data(), post.from.dtype(), post.from.shape()}});
    return std::make_unique<DoneRequest>();
  }

  RequestPtr arrive(std::unique_lock<std::mutex>& lock, const std::shared_ptr<RankMeeting>& e,
                    std::size_t place, const Post& post) {
    arrive_with(lock, e, place, post);
    return std::make_unique<ThreadRequest>(e, group_, rank_, draw_);
  }

  /// The last rank moves the memory. With delays, it does so only if a rank already waits.
  void arrive_with(std::unique_lock<std::mutex>& lock, const std::shared_ptr<RankMeeting>& e,
                   std::size_t place, const Post& post) {
    e->posts[place] = post;
    e->here[place] = true;
    if (e->ready() && (!draw_ || e->waiters > 0)) run(lock, *e, *group_);
    lock.unlock();
  }

  [[nodiscard]] int world_rank() const {
    return group_->world_ranks[static_cast<std::size_t>(rank_)];
  }

  std::shared_ptr<Group> group_;
  int rank_;
  std::shared_ptr<Draw> draw_;  ///< null without delays
  std::int64_t next_ = 0;       ///< number of the next call
};

}  // namespace

std::string as_ranks(int ranks, const std::function<void(Communicator&)>& f,
                     const RankOptions& options) {
  Fabric fabric(ranks, options.patience);
  std::vector<int> all;
  for (int r = 0; r < ranks; ++r) all.push_back(r);
  const auto world = std::make_shared<Group>(fabric, all);
  world->gathered = options.gathered;
  std::vector<std::string> errors(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      std::shared_ptr<Draw> draw;
      if (options.delays != 0) {
        draw = std::make_shared<Draw>(static_cast<unsigned>(options.delays * 1009) +
                                      static_cast<unsigned>(r));
      }
      ThreadCommunicator rank(world, r, draw);
      std::string error;
      try {
        f(rank);
      } catch (const std::exception& e) {
        error = fmt::format("rank {}: {}", r, e.what());
      }
      const std::scoped_lock lock(fabric.mutex());
      if (!error.empty()) {
        if (!fabric.abandoned(r)) errors[static_cast<std::size_t>(r)] = error;
        fabric.fail(error);
      }
      fabric.end(r);
    });
  }
  for (std::thread& t : threads) t.join();
  const auto own = std::ranges::find_if(errors, [](const auto& e) { return !e.empty(); });
  return own != errors.end() ? *own : fabric.failure();
}

}  // namespace trireme::test
