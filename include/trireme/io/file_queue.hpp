// SPDX-License-Identifier: Apache-2.0
// Reads and writes of one file that go on while the caller computes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace trireme {

/// How requests reach the system. The fields have the meaning of DeepSpeed's `aio` keys.
struct FileQueueSettings {
  std::int64_t block_size = std::int64_t{1} << 20U;  ///< most bytes of a request
  std::int64_t queue_depth = 8;                      ///< requests of a thread under way
  std::int64_t thread_count = 1;
  bool single_submit = false;  ///< hand requests to the system one by one
  bool overlap_events = true;  ///< false: submit requests when all earlier ones are done
  bool uring = true;           ///< false: plain reads and writes by threads
};

/// What a queue has moved since its start.
struct FileTraffic {
  std::int64_t read = 0;  ///< bytes
  std::int64_t written = 0;
  double busy = 0;  ///< seconds in which at least one transfer was under way
};

/// Threads that move blocks of a file by io_uring. Where the kernel refuses io_uring, threads
/// move blocks by pread and pwrite. Calls come from one thread at a time.
class FileQueue {
 public:
  /// A read or a write of consecutive bytes.
  class Transfer;
  using Ticket = std::shared_ptr<Transfer>;

  /// `file` is open for reading and writing, and must outlive the queue. `name` stands in
  /// errors.
  FileQueue(int file, std::string name, const FileQueueSettings& settings);
  /// Waits for transfers under way, and ignores their errors.
  ~FileQueue();
  FileQueue(const FileQueue&) = delete;
  FileQueue& operator=(const FileQueue&) = delete;

  /// Memory must stay valid until wait(). Transfers that overlap in the file must not be under
  /// way together.
  [[nodiscard]] Ticket start_read(std::int64_t offset, void* to, std::size_t bytes);
  [[nodiscard]] Ticket start_write(std::int64_t offset, const void* from, std::size_t bytes);
  /// Waits until the transfer is done. Throws Error if any byte could not be moved.
  void wait(const Ticket& ticket);

  [[nodiscard]] FileTraffic traffic() const;
  /// "io_uring", or "threads" where the kernel refuses io_uring.
  [[nodiscard]] std::string engine() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trireme
