// SPDX-License-Identifier: Apache-2.0
// A bounded queue that one thread fills.
#include "trireme/data/prefetch.hpp"

#include <chrono>
#include <span>

namespace trireme {

Prefetch::Prefetch(const SampleSource& source, Plan plan, std::int64_t first, std::size_t depth)
    : source_(source), plan_(std::move(plan)), depth_(depth) {
  TRM_CHECK(depth > 0, "the queue's depth must be above 0");
  thread_ = std::thread([this, first] { work(first); });
}

Prefetch::~Prefetch() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::vector<std::int32_t> Prefetch::next() {
  return *next([] { return false; });
}

std::optional<std::vector<std::int32_t>> Prefetch::next(const std::function<bool()>& give_up) {
  constexpr std::chrono::milliseconds kBetweenLooks{50};
  std::unique_lock lock(mutex_);
  const auto there = [this] { return !ready_.empty() || failure_ != nullptr; };
  while (!changed_.wait_for(lock, kBetweenLooks, there)) {
    if (give_up()) return std::nullopt;
  }
  if (ready_.empty()) std::rethrow_exception(failure_);
  std::vector<std::int32_t> batch = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void Prefetch::work(std::int64_t step) {
  for (;; ++step) {
    std::vector<std::int32_t> batch;
    std::exception_ptr failure;
    try {
      batch = read_samples(source_, plan_(step));
    } catch (...) {
      failure = std::current_exception();
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stop_ || ready_.size() < depth_; });
    if (stop_) return;
    failure_ = failure;
    if (failure == nullptr) ready_.push_back(std::move(batch));
    lock.unlock();
    changed_.notify_all();
    if (failure != nullptr) return;
  }
}

std::vector<std::int32_t> read_samples(const SampleSource& source,
                                       const std::vector<SampleRun>& runs) {
  const auto length = static_cast<std::size_t>(source.layout().numbers());
  std::size_t samples = 0;
  for (const SampleRun& run : runs) samples += static_cast<std::size_t>(run.count);
  std::vector<std::int32_t> batch(samples * length);
  std::size_t at = 0;
  for (const SampleRun& run : runs) {
    for (std::int64_t i = 0; i < run.count; ++i, at += length) {
      source.get(run.first + static_cast<std::uint64_t>(i),
                 std::span(batch).subspan(at, length));
    }
  }
  return batch;
}

}  // namespace trireme
