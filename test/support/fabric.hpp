// SPDX-License-Identifier: Apache-2.0
// Fabric: how rank threads wait for each other, and how the failure of one ends all of them.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace trireme::test {

/// An event that ranks can wait for. The fabric's lock guards every member.
struct Completion {
  bool done = false;
  int waiters = 0;
  std::condition_variable changed;
};

/// The ranks of one run. The caller of every function but mutex() holds the lock.
class Fabric {
 public:
  /// A rank waits at most `patience` seconds.
  Fabric(int ranks, double patience);

  [[nodiscard]] std::mutex& mutex() { return mutex_; }

  /// Blocks rank `rank` until `event` is done. `what` names the call in the report of a
  /// deadlock. Throws Error when the run has failed, every rank waits, or patience ends.
  void wait(std::unique_lock<std::mutex>& lock, Completion& event, int rank,
            const std::string& what);
  void complete(Completion& event);
  /// Ends the run. The first message stays: every rank that waits now or later throws an Error.
  void fail(const std::string& message);
  [[nodiscard]] bool failed() const { return !failure_.empty(); }
  [[nodiscard]] const std::string& failure() const { return failure_; }
  /// Throws the failure, if any, on rank `rank`.
  void throw_failure(int rank);
  /// Whether rank `rank` met the failure of another rank.
  [[nodiscard]] bool abandoned(int rank) const;
  /// Notes that rank `rank` returned from its function.
  void end(int rank);

 private:
  enum class Doing { running, waiting, ended };
  struct Rank {
    Doing doing = Doing::running;
    bool abandoned = false;
    Completion* event = nullptr;
    std::string what;
  };
  /// Fails the run if no rank runs and some rank waits.
  void look_for_deadlock();
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }

  std::mutex mutex_;
  std::vector<Rank> ranks_;
  int running_;
  double patience_;
  std::string failure_;
};

}  // namespace trireme::test
