// SPDX-License-Identifier: Apache-2.0
// Chooses a block of memory for each request and keeps freed blocks for reuse. The pool touches
// no memory, which lets a dry device count like a real one.
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
  /// Blocks of at least this size are whole pages. The system can back blocks with huge pages
  /// if the blocks are aligned to this size.
  static constexpr std::size_t kHugePage = std::size_t{2} << 20U;

  /// Takes a new block of `size` bytes from the system; throws Error if it has none.
  using Fresh = std::function<void*(std::size_t size)>;
  explicit BlockPool(Fresh fresh) : fresh_(std::move(fresh)) {}

  [[nodiscard]] void* allocate(std::size_t bytes);
  void release(void* block) noexcept;
  [[nodiscard]] const MemoryUse& use() const { return use_; }
  void reset_peak() { use_.peak = use_.in_use; }
  /// Freed blocks by size, without those of arenas.
  [[nodiscard]] const std::multimap<std::size_t, void*>& kept() const {
    return shelves_.at(kEverybodys).kept;
  }
  /// Returns freed blocks to the system with `give_back`; the pool forgets them. Blocks of
  /// arenas stay.
  void drop_kept(const std::function<void(void* block)>& give_back);

 private:
  friend class Arena;
  static constexpr int kEverybodys = 0;

  /// The blocks of one arena, or the shared ones.
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
  int current_ = kEverybodys;  ///< the shelf that serves requests
  std::unordered_map<void*, Live> live_;
  MemoryUse use_;
};

/// Reserves blocks of a pool, wherever they are freed, for a graph that runs repeatedly with
/// fixed addresses. The destructor hands the blocks to the shared shelf. The pool must outlive
/// its arenas.
class Arena {
 public:
  explicit Arena(BlockPool& pool) : pool_(pool), shelf_(pool.open_shelf()) {}
  ~Arena() { pool_.close_shelf(shelf_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  enum class Place : std::uint8_t { inside, outside };
  /// While a Scope exists, the arena or the shared shelf serves requests, according to `place`.
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
  /// in_use() plus the bytes kept for reuse.
  [[nodiscard]] std::size_t reserved() const { return pool_.shelves_.at(shelf_).reserved; }

 private:
  BlockPool& pool_;
  int shelf_;
};

}  // namespace trireme
