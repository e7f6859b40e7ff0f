// SPDX-License-Identifier: Apache-2.0
// The threads behind a queue.
#include "trireme/io/file_queue.hpp"

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "trireme/core/error.hpp"

#include "block_queue.hpp"

namespace trireme {

struct FileQueue::State {
  State(std::string name, const FileQueueSettings& s) : settings(s), queue(std::move(name)) {}

  FileQueueSettings settings;
  io::BlockQueue queue;
  std::vector<std::unique_ptr<io::Ring>> rings;
  std::vector<std::thread> threads;
};

FileQueue::FileQueue(int file, std::string name, const FileQueueSettings& settings)
    : state_(std::make_unique<State>(std::move(name), settings)) {
  State& s = *state_;
  // Fewer threads do as well where a limit refuses more.
  const auto start = [&](auto work) {
    try {
      s.threads.emplace_back(work);
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  };
  for (std::int64_t i = 0; settings.uring && i < settings.thread_count; ++i) {
    auto ring = io::Ring::make(file, settings);
    if (!ring) break;
    s.rings.push_back(std::move(ring));
  }
  for (const auto& ring : s.rings) {
    if (!start([&queue = s.queue, &r = *ring] { r.move(queue); })) break;
  }
  if (!s.threads.empty()) return;
  s.rings.clear();
  constexpr std::int64_t kMostThreads = 32;
  const std::int64_t wanted =
      std::min(kMostThreads, settings.queue_depth * settings.thread_count);
  for (std::int64_t i = 0; i < wanted; ++i) {
    if (!start([&queue = s.queue, file] { io::move_by_calls(file, queue); })) break;
  }
  TRM_REQUIRE(!s.threads.empty(),
              "no thread can be started for transfers of files: raise the limit on processes "
              "(ulimit -u)");
}

FileQueue::~FileQueue() {
  state_->queue.close();
  for (std::thread& t : state_->threads) t.join();
}

FileQueue::Ticket FileQueue::start_read(std::int64_t offset, void* to, std::size_t bytes) {
  auto ticket = std::make_shared<Transfer>();
  state_->queue.add(ticket, offset, static_cast<std::byte*>(to), bytes,
                    static_cast<std::size_t>(state_->settings.block_size));
  return ticket;
}

FileQueue::Ticket FileQueue::start_write(std::int64_t offset, const void* from,
                                         std::size_t bytes) {
  auto ticket = std::make_shared<Transfer>();
  ticket->writes = true;
  state_->queue.add(ticket, offset, static_cast<std::byte*>(const_cast<void*>(from)), bytes,
                    static_cast<std::size_t>(state_->settings.block_size));
  return ticket;
}

void FileQueue::wait(const Ticket& ticket) { state_->queue.wait(ticket); }

FileTraffic FileQueue::traffic() const { return state_->queue.traffic(); }

std::string FileQueue::engine() const { return state_->rings.empty() ? "threads" : "io_uring"; }

}  // namespace trireme
