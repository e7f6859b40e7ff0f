// SPDX-License-Identifier: Apache-2.0
// Waiting, deadlocks and failures of rank threads.
#include "fabric.hpp"

#include <chrono>

#include "trireme/core/error.hpp"

namespace trireme::test {

Fabric::Fabric(int ranks, double patience)
    : ranks_(static_cast<std::size_t>(ranks)), running_(ranks), patience_(patience) {}

void Fabric::wait(std::unique_lock<std::mutex>& lock, Completion& event, int rank,
                  const std::string& what) {
  if (event.done) return;
  throw_failure(rank);
  Rank& self = at(rank);
  self.doing = Doing::waiting;
  self.event = &event;
  self.what = what;
  ++event.waiters;
  --running_;
  look_for_deadlock();
  const auto over = [&] { return event.done || failed(); };
  if (!event.changed.wait_for(lock, std::chrono::duration<double>(patience_), over)) {
    fail(fmt::format("no end after {} s: {}", patience_, describe()));
  }
  if (!event.done) {  // complete() has counted the ranks that it wakes
    --event.waiters;
    ++running_;
  }
  self.doing = Doing::running;
  self.event = nullptr;
  if (!event.done) throw_failure(rank);
}

void Fabric::complete(Completion& event) {
  event.done = true;
  running_ += event.waiters;
  event.waiters = 0;
  event.changed.notify_all();
}

void Fabric::fail(const std::string& message) {
  if (failed()) return;
  failure_ = message;
  for (const Rank& r : ranks_) {
    if (r.event != nullptr) r.event->changed.notify_all();
  }
}

void Fabric::throw_failure(int rank) {
  if (!failed()) return;
  at(rank).abandoned = true;
  throw Error(failure_);
}

bool Fabric::abandoned(int rank) const {
  return ranks_[static_cast<std::size_t>(rank)].abandoned;
}

void Fabric::end(int rank) {
  at(rank).doing = Doing::ended;
  --running_;
  look_for_deadlock();
}

void Fabric::look_for_deadlock() {
  if (running_ > 0 || failed()) return;
  for (const Rank& r : ranks_) {
    if (r.doing == Doing::waiting && !r.event->done) return fail("deadlock: " + describe());
  }
}

std::string Fabric::describe() const {
  std::string text;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const Rank& rank = ranks_[r];
    if (!text.empty()) text += ", ";
    if (rank.doing == Doing::waiting && !rank.event->done) {
      text += fmt::format("rank {} waits in {}", r, rank.what);
    } else {
      text += fmt::format("rank {} {}", r, rank.doing == Doing::ended ? "has ended" : "runs");
    }
  }
  return text;
}

}  // namespace trireme::test
