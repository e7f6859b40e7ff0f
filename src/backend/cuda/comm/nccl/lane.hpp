// SPDX-License-Identifier: Apache-2.0
// One communicator of NCCL's and the stream that its exchanges are queued on.
#pragma once

#include <memory>
#include <nccl.h>
#include <string>

#include "trireme/comm/communicator.hpp"

#include "../../runtime/stream.hpp"

namespace trireme::cuda {

/// A new communicator of `ranks` ranks; all of them call it with the same id.
[[nodiscard]] ncclComm_t join(const ncclUniqueId& id, int ranks, int rank);
[[nodiscard]] ncclUniqueId make_unique_id();

class Lane {
 public:
  /// Owns `comm`. `group` names it in messages.
  Lane(ncclComm_t comm, std::string group);
  /// Waits for what is queued, unless an error is on its way or meets it.
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  [[nodiscard]] ncclComm_t comm() const { return comm_; }
  [[nodiscard]] cudaStream_t stream() const { return stream_.native(); }
  [[nodiscard]] const std::string& group() const { return group_; }

  /// Later exchanges see what `compute` has been given so far.
  void follow(Stream& compute) { stream_.wait(*compute.record()); }
  /// f(), which queues an exchange. Throws Error naming it if that fails.
  template <class F>
  void queue(const char* what, std::size_t bytes, F f) {
    look();
    what_ = what;
    bytes_ = bytes;
    if (const ncclResult_t code = f(); code != ncclSuccess) fail(code);
  }
  /// What is queued between, as one exchange: its parts can't wait for each other.
  template <class F>
  void queue_together(const char* what, std::size_t bytes, F f) {
    queue(what, bytes, [&] {
      const ncclResult_t begun = ncclGroupStart();
      const ncclResult_t queued = begun == ncclSuccess ? f() : begun;
      const ncclResult_t ended = ncclGroupEnd();
      return queued == ncclSuccess ? ended : queued;
    });
  }
  /// Throws Error if an exchange has failed meanwhile.
  void look();
  [[nodiscard]] std::unique_ptr<Event> record() { return stream_.record(); }
  void synchronize() { stream_.synchronize(); }

 private:
  [[noreturn]] void fail(ncclResult_t code);

  ncclComm_t comm_;
  CudaStream stream_{kFirst};
  std::string group_;
  const char* what_ = "its set-up";
  std::size_t bytes_ = 0;
  Watch watch_;  ///< what the host waits for may rest on this lane, if it still works
};

/// Done when the GPU has come past what `lane` was given. wait() lets `compute` wait, not the
/// host; `scratch` is free after that.
[[nodiscard]] RequestPtr make_request(std::shared_ptr<Lane> lane, Stream& compute,
                                      std::unique_ptr<Buffer> scratch);

}  // namespace trireme::cuda
