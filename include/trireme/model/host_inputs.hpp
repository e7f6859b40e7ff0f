// SPDX-License-Identifier: Apache-2.0
// Moves inputs of recomputed layers to the host's memory and back, beside the computation.
#pragma once

#include <memory>

#include "trireme/device/host_pool.hpp"
#include "trireme/model/tape.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

/// Copies run on the pool's stream. An input leaves while the next group computes. On the way
/// back, the next input comes while a group recomputes. One more input stays on the device for
/// each direction. The order of all calls is that of the compute stream, which waits for copies
/// where memory is recycled.
class HostInputs {
 public:
  /// The device must outlive this object and the tapes.
  explicit HostInputs(Device& device) : pool_(HostPool::make(device)) {}
  ~HostInputs();
  HostInputs(const HostInputs&) = delete;
  HostInputs& operator=(const HostInputs&) = delete;

  /// Starts a copy of x, which the tape receives.
  void put(const Exec& ex, const Tensor& x, Tape& tape);
  /// Takes the tape's last input, and starts to bring the one before.
  [[nodiscard]] Tensor take(const Exec& ex, Tape& tape);

  [[nodiscard]] HostPool& pool() const { return *pool_; }

 private:
  struct Move {
    std::shared_ptr<void> block;
    Tensor x;
    std::unique_ptr<Event> done;
  };
  [[nodiscard]] Move bring(const Exec& ex, const HostCopy& copy) const;
  static void finish(const Exec& ex, Move& move);

  std::shared_ptr<HostPool> pool_;
  Move leaving_;
  Move coming_;
};

}  // namespace trireme
