// SPDX-License-Identifier: Apache-2.0
// A piece of work on a thread beside the caller's.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "trireme/core/error.hpp"

namespace trireme::checkpoint {

class BackgroundJob {
 public:
  BackgroundJob() = default;
  ~BackgroundJob() {
    if (thread_.joinable()) thread_.join();
  }
  BackgroundJob(const BackgroundJob&) = delete;
  BackgroundJob& operator=(const BackgroundJob&) = delete;

  /// Call this only after take() has returned for the work before.
  void start(std::function<void()> work) {
    done_ = false;
    thread_ = std::thread([this, work = std::move(work)] {
      error_ = failure_of(work);
      done_ = true;
    });
  }
  [[nodiscard]] bool done() const { return done_; }
  /// Waits for the work. Returns the Error that the work threw, or nothing.
  [[nodiscard]] std::optional<Error> take() {
    if (thread_.joinable()) thread_.join();
    return std::exchange(error_, std::nullopt);
  }

 private:
  std::thread thread_;
  std::atomic<bool> done_ = true;
  std::optional<Error> error_;
};

}  // namespace trireme::checkpoint
