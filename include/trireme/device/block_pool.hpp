// SPDX-License-Identifier: Apache-2.0
// Which block of memory a request gets, where freed ones are kept. Bookkeeping alone, so that
// every device that recycles counts alike, a dry one too.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <unordered_map>

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
  /// Freed blocks, by size.
  [[nodiscard]] const std::multimap<std::size_t, void*>& kept() const { return kept_; }
  /// Gives freed blocks back to the system by `give_back`; the pool forgets them.
  void drop_kept(const std::function<void(void* block)>& give_back);

 private:
  void* reuse(std::size_t wanted);

  Fresh fresh_;
  std::multimap<std::size_t, void*> kept_;
  std::unordered_map<void*, std::size_t> live_;
  MemoryUse use_;
};

}  // namespace trireme
