// SPDX-License-Identifier: Apache-2.0
// Best fit among freed blocks.
#include "trireme/device/block_pool.hpp"

#include <algorithm>

#include "trireme/core/round_up.hpp"

namespace trireme {

namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPage = 4096;

}  // namespace

void* BlockPool::allocate(std::size_t bytes) {
  // Large blocks are whole 4 KiB pages. Whole huge pages would double a block of 2.1 MiB.
  const std::size_t wanted = bytes >= kHugePage
                                 ? round_up(bytes, kPage)
                                 : round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  void* block = reuse(wanted);
  Shelf& shelf = shelves_.at(current_);
  if (block == nullptr) {
    block = fresh_(wanted);
    live_.emplace(block, Live{wanted, current_});
    use_.reserved += wanted;
    shelf.reserved += wanted;
  }
  const std::size_t size = live_.at(block).size;
  shelf.in_use += size;
  use_.in_use += size;
  use_.peak = std::max(use_.peak, use_.in_use);
  return block;
}

void BlockPool::release(void* block) noexcept {
  const auto it = live_.find(block);
  const auto [size, number] = it->second;
  Shelf& shelf = shelves_.at(number);
  use_.in_use -= size;
  shelf.in_use -= size;
  shelf.kept.emplace(size, block);
  live_.erase(it);
}

void BlockPool::drop_kept(const std::function<void(void*)>& give_back) {
  Shelf& shelf = shelves_.at(kEverybodys);
  for (const auto& [size, block] : shelf.kept) {
    give_back(block);
    use_.reserved -= size;
    shelf.reserved -= size;
  }
  shelf.kept.clear();
}

/// Takes the smallest kept block that is large enough, unless the block wastes over a quarter
/// of `wanted`.
void* BlockPool::reuse(std::size_t wanted) {
  auto& kept = shelves_.at(current_).kept;
  const auto it = kept.lower_bound(wanted);
  if (it == kept.end() || it->first > wanted + wanted / 4) return nullptr;
  void* block = it->second;
  live_.emplace(block, Live{it->first, current_});
  kept.erase(it);
  return block;
}

int BlockPool::open_shelf() {
  const int number = shelves_.rbegin()->first + 1;
  shelves_[number];
  return number;
}

void BlockPool::close_shelf(int shelf) noexcept {
  Shelf& from = shelves_.at(shelf);
  Shelf& to = shelves_.at(kEverybodys);
  for (auto& [block, live] : live_) {
    if (live.shelf == shelf) live.shelf = kEverybodys;
  }
  to.kept.merge(from.kept);
  to.in_use += from.in_use;
  to.reserved += from.reserved;
  shelves_.erase(shelf);
}

}  // namespace trireme
