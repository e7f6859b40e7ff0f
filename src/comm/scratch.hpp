// SPDX-License-Identifier: Apache-2.0
// Memory of collectives under way, kept for later ones: fresh pages would cost more than the
// collective itself.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace trireme {

/// The free arrays of a communicator: never more arrays than were in use at once.
class ScratchPool {
 public:
  struct Array {
    std::unique_ptr<std::byte[]> memory;
    std::size_t bytes = 0;
  };
  /// The smallest free array that is long enough. If none is, a new array replaces the longest.
  [[nodiscard]] Array take(std::size_t bytes);
  void give_back(Array array) { free_.push_back(std::move(array)); }

 private:
  std::vector<Array> free_;
};

/// An array that a pool lends to one collective. The memory is not initialised.
class Scratch {
 public:
  Scratch(std::shared_ptr<ScratchPool> pool, std::size_t bytes)
      : pool_(std::move(pool)), array_(pool_->take(bytes)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { pool_->give_back(std::move(array_)); }

  [[nodiscard]] std::byte* data() const { return array_.memory.get(); }

 private:
  std::shared_ptr<ScratchPool> pool_;
  ScratchPool::Array array_;
};

}  // namespace trireme
