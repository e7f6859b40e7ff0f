// SPDX-License-Identifier: Apache-2.0
// Memory of exchanges under way, kept for the next ones: fresh pages would cost more than the
// exchange itself.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace trireme {

/// What is free of one group's scratch. Never more arrays than were in use at once.
class ScratchPool {
 public:
  struct Array {
    std::unique_ptr<std::byte[]> memory;
    std::size_t bytes = 0;
  };
  /// The smallest free array that is long enough; else the longest one gives way to a new one.
  [[nodiscard]] Array take(std::size_t bytes);
  void give_back(Array array) { free_.push_back(std::move(array)); }

 private:
  std::vector<Array> free_;
};

/// An array of a pool while an exchange needs it. Not initialised.
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
