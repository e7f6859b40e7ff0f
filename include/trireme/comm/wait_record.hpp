// SPDX-License-Identifier: Apache-2.0
// What the thread that communicates waits for, so that a watch can name a hang.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trireme {

/// Ranks that communicate, as messages name them: "dp", and their ranks in the job. An empty
/// list stands for ranks that aren't known.
struct NamedRanks {
  std::string name;
  std::vector<int> ranks;
  friend bool operator==(const NamedRanks&, const NamedRanks&) = default;
};

struct Wait {
  std::string operation;    ///< "all_reduce"
  NamedRanks group;         ///< an empty name: no group, such as a GPU's work
  std::int64_t number = 0;  ///< among the group's collectives, from 1; 0: no collective
  int peer = -1;            ///< the other rank of a message in the job; −1: no message
  double since = 0;         ///< seconds of now()
};

/// From now on the waits of the calling thread are recorded, and of no other thread.
void record_waits_of_this_thread();

/// Records a wait while it lives. A scope within another changes nothing: the outer one names
/// the call that the program made. No effect in other threads.
class WaitScope {
 public:
  /// `operation` must outlive the scope.
  WaitScope(const char* operation, std::shared_ptr<const NamedRanks> group,
            std::int64_t number = 0, int peer = -1);
  ~WaitScope();
  WaitScope(const WaitScope&) = delete;
  WaitScope& operator=(const WaitScope&) = delete;
};

/// What the recorded thread waits for now; nothing if it computes. Any thread may ask.
[[nodiscard]] std::optional<Wait> current_wait();

}  // namespace trireme
