// SPDX-License-Identifier: Apache-2.0
// The record of a process's current wait.
#include "trireme/comm/wait_record.hpp"

#include <mutex>
#include <utility>

#include "trireme/core/clock.hpp"

namespace trireme {

namespace {

struct Record {
  std::mutex mutex;
  int depth = 0;
  const char* operation = "";
  std::shared_ptr<const NamedRanks> group;
  std::int64_t number = 0;
  int peer = -1;
  double since = 0;
};

Record& record() {
  static Record only;
  return only;
}

thread_local bool recorded = false;

}  // namespace

void record_waits_of_this_thread() { recorded = true; }

WaitScope::WaitScope(const char* operation, std::shared_ptr<const NamedRanks> group,
                     std::int64_t number, int peer) {
  if (!recorded) return;
  Record& r = record();
  const std::scoped_lock lock(r.mutex);
  if (++r.depth > 1) return;
  r.operation = operation;
  r.group = std::move(group);
  r.number = number;
  r.peer = peer;
  r.since = now();
}

WaitScope::~WaitScope() {
  if (!recorded) return;
  Record& r = record();
  const std::scoped_lock lock(r.mutex);
  --r.depth;
}

std::optional<Wait> current_wait() {
  Record& r = record();
  const std::scoped_lock lock(r.mutex);
  if (r.depth == 0) return std::nullopt;
  return Wait{r.operation, r.group ? *r.group : NamedRanks(), r.number, r.peer, r.since};
}

}  // namespace trireme
