// SPDX-License-Identifier: Apache-2.0
// Which block of memory a request gets, where freed ones are kept. Bookkeeping alone, so that
// every device that recycles counts alike, a dry one too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

#include "trireme/device/device.hpp"

namespace trireme {

class BlockPool {
 public:
  /// Blocks of so many bytes and more are whole pages: aligned to it, the system can give them
  /// huge ones.
  static constexpr std::size_t kHugePage = std::size_t{2} << 20U;

  /// Takes a new block of `size` bytes from the system; throws Error if it has none.
  using Fresh = std::function<void*(std::size_t size)>;
  explicit BlockPool(Fresh fresh) : fresh_(std::move(fresh)) {}

  [[nodiscard]] void* allocate(std::size_t bytes);
  void release(void* block) noexcept;
  [[nodiscard]] const MemoryUse& use() const { return use_; }
  void reset_peak() { use_.peak = use_.in_use; }
  /// Freed blocks by size, but for those of arenas.
  [[nodiscard]] const std::multimap<std::size_t, void*>& kept() const {
    return shelves_.at(kEverybodys).kept;
  }
  /// Gives freed blocks back to the system by `give_back`; the pool forgets them. Those of
  /// arenas stay.
  void drop_kept(const std::function<void(void* block)>& give_back);

 private:
  friend class Arena;
  static constexpr int kEverybodys = 0;

  /// The blocks of an arena, or everybody's.
  struct Shelf {
    std::multimap<std::size_t, void*> kept;
    std::size_t in_use = 0;
    std::size_t reserved = 0;
  };
  struct Live {
    std::size_t size;
    int shelf;
  };

  [[nodiscard]] int open_shelf();
  void close_shelf(int shelf) noexcept;
  void* reuse(std::size_t wanted);

  Fresh fresh_;
  std::map<int, Shelf> shelves_{{kEverybodys, {}}};
  int current_ = kEverybodys;  ///< where requests are met
  std::unordered_map<void*, Live> live_;
  MemoryUse use_;
};

/// Blocks of a pool that nobody else gets, wherever they are freed: for work that is queued
/// again and again with the addresses that it had the first time. Its end makes them
/// everybody's. The pool must outlive it.
class Arena {
 public:
  explicit Arena(BlockPool& pool) : pool_(pool), shelf_(pool.open_shelf()) {}
  ~Arena() { pool_.close_shelf(shelf_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  enum class Place : std::uint8_t { inside, outside };
  /// As long as it lives, requests are met in the arena, or again from what is everybody's.
  /// Scopes may nest.
  class Scope {
   public:
    Scope(const Arena& arena, Place place)
        : pool_(arena.pool_),
          before_(std::exchange(
              pool_.current_, place == Place::inside ? arena.shelf_ : BlockPool::kEverybodys)) {
    }
    /// Outside of whatever arena of `pool` is entered.
    explicit Scope(BlockPool& pool)
        : pool_(pool), before_(std::exchange(pool.current_, BlockPool::kEverybodys)) {}
    ~Scope() { pool_.current_ = before_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    BlockPool& pool_;
    int before_;
  };

  [[nodiscard]] std::size_t in_use() const { return pool_.shelves_.at(shelf_).in_use; }
  /// in_use() plus what is kept for reuse.
  [[nodiscard]] std::size_t reserved() const { return pool_.shelves_.at(shelf_).reserved; }

 private:
  BlockPool& pool_;
  int shelf_;
};

}  // namespace trireme
