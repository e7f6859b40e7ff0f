// SPDX-License-Identifier: Apache-2.0
// TextPool: threads that turn units of text into pieces of tokens.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/data/prepare.hpp"

namespace trireme {

class ScratchFile;

struct PoolOptions {
  int threads = 1;
  std::int64_t memory = 96 << 20;  ///< bytes of finished pieces before threads wait
  std::string folder{"."};         ///< for pieces of streams that memory has no room for
  bool wide = true;                ///< tokens need more than 2 bytes
};

/// Threads take units in order. Threads share the parts of a stream, of which one thread at a
/// time reads the next part. A stream may be read ahead of the units before it. Its pieces then
/// wait in a temporary file, which keeps memory small while many streams are read.
class TextPool {
 public:
  /// `blocks` must outlive this. `units` are ascending numbers.
  TextPool(const TextBlocks& blocks, std::vector<std::int64_t> units, PoolOptions options);
  /// Stops the threads after their current parts.
  ~TextPool();
  TextPool(const TextPool&) = delete;
  TextPool& operator=(const TextPool&) = delete;

  struct Delivery {
    std::int64_t unit = 0;
    TextPieces pieces{};
    bool ends_unit = false;
  };
  /// Waits for the next pieces in the order of units and parts; nothing behind the last. Throws
  /// the error that stands in their place.
  [[nodiscard]] std::optional<Delivery> next();

 private:
  struct Part;
  struct Unit;

  void work();
  void encode(std::unique_lock<std::mutex>& lock, Unit& unit, TextChunk&& chunk);
  void read_block(std::unique_lock<std::mutex>& lock, Unit& unit);
  void read_stream(std::unique_lock<std::mutex>& lock, Unit& unit);
  void store(std::unique_lock<std::mutex>& lock, Unit& unit, std::int64_t number,
             TextPieces&& pieces, const std::optional<Error>& error);
  [[nodiscard]] Unit* open_stream();
  [[nodiscard]] Unit* start_unit();
  [[nodiscard]] bool has_room(const Unit& unit) const;

  const TextBlocks& blocks_;
  std::vector<std::int64_t> units_;
  PoolOptions options_;
  std::mutex mutex_;
  std::condition_variable work_;             ///< there may be something to do
  std::condition_variable ready_;            ///< a part is done
  std::size_t next_unit_ = 0;                ///< the first of units_ that no thread has begun
  std::deque<std::unique_ptr<Unit>> begun_;  ///< in order, from the first not yet delivered on
  std::int64_t held_ = 0;                    ///< bytes of finished pieces in memory
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace trireme
