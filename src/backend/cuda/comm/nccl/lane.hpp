// SPDX-License-Identifier: Apache-2.0
// An NCCL communicator, and the stream that its calls are queued on.
#pragma once

#include <memory>
#include <nccl.h>
#include <string>

#include "trireme/comm/communicator.hpp"

#include "../../runtime/stream.hpp"

namespace trireme::cuda {

/// Settings of a communicator whose kernels take at most `most_blocks` thread blocks at once.
[[nodiscard]] ncclConfig_t config_of(int most_blocks);

/// Makes an NCCL communicator of `ranks` ranks. All ranks call join() with the same id.
[[nodiscard]] ncclComm_t join(const ncclUniqueId& id, int ranks, int rank, int most_blocks);
[[nodiscard]] ncclUniqueId make_unique_id();

class Lane {
 public:
  /// Owns `comm`. `group` names the communicator in messages.
  Lane(ncclComm_t comm, std::string group);
  /// Waits for queued work, except during or after an error.
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  [[nodiscard]] ncclComm_t comm() const { return comm_; }
  [[nodiscard]] cudaStream_t stream() const { return stream_.native(); }
  [[nodiscard]] const std::string& group() const { return group_; }

  /// Orders later calls after the work queued on `compute` so far.
  void follow(Stream& compute) { stream_.wait(*compute.record()); }
  /// Calls f(), which queues communication. Throws Error with `what` if f() fails.
  template <class F>
  void queue(const char* what, std::size_t bytes, F f) {
    look();
    what_ = what;
    bytes_ = bytes;
    if (const ncclResult_t code = f(); code != ncclSuccess) fail(code);
  }
  /// Queues all that f() queues as one call, in which sends and receives can't block each
  /// other.
  template <class F>
  void queue_together(const char* what, std::size_t bytes, F f) {
    queue(what, bytes, [&] {
      const ncclResult_t begun = ncclGroupStart();
      const ncclResult_t queued = begun == ncclSuccess ? f() : begun;
      const ncclResult_t ended = ncclGroupEnd();
      return queued == ncclSuccess ? ended : queued;
    });
  }
  /// Throws Error if queued communication has failed.
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
  Watch watch_;  ///< ends the host's waits if this lane fails
};

/// Returns a request that is done when the GPU has finished the work queued on `lane`. `wait()`
/// makes `compute` wait, not the host, and releases `scratch`.
[[nodiscard]] RequestPtr make_request(std::shared_ptr<Lane> lane, Stream& compute,
                                      std::unique_ptr<Buffer> scratch);

}  // namespace trireme::cuda
