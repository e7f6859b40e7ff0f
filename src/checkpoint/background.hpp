// SPDX-License-Identifier: Apache-2.0
// One piece of work beside the caller's.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace trireme::checkpoint {

class BackgroundJob {
 public:
  BackgroundJob() = default;
  ~BackgroundJob() {
    if (thread_.joinable()) thread_.join();
  }
  BackgroundJob(const BackgroundJob&) = delete;
  BackgroundJob& operator=(const BackgroundJob&) = delete;

  /// Once the last one was taken.
  void start(std::function<void()> work) {
    done_ = false;
    thread_ = std::thread([this, work = std::move(work)] {
      try {
        work();
      } catch (const std::exception& e) {
        error_ = e.what();
      }
      done_ = true;
    });
  }
  [[nodiscard]] bool done() const { return done_; }
  /// Waits; the message of what it threw, or empty.
  [[nodiscard]] std::string take() {
    if (thread_.joinable()) thread_.join();
    return std::exchange(error_, {});
  }

 private:
  std::thread thread_;
  std::atomic<bool> done_ = true;
  std::string error_;
};

}  // namespace trireme::checkpoint
