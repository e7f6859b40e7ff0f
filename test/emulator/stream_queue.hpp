// SPDX-License-Identifier: Apache-2.0
// Streams that keep their work until the host waits for it. Streams take random turns as far as
// events allow. A position in a stream is the number of works queued so far.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "block.hpp"

namespace trireme::emulator {

struct StreamState;

/// Reached when `stream` has run this many works.
struct Position {
  std::shared_ptr<StreamState> stream;
  std::uint64_t works = 0;
};

struct Work {
  std::vector<Position> after;
  std::function<void()> run;   // may be empty
  std::function<bool()> poll;  // instead of `run`, to wait for other processes; true when done
};

struct Graph;

struct StreamState {
  int device = 0;
  int priority = 0;
  bool blocking = true;  // ordered with stream 0
  std::deque<Work> queue;
  std::uint64_t finished = 0;
  std::shared_ptr<Graph> capture;

  [[nodiscard]] std::uint64_t queued() const { return finished + queue.size(); }
};

/// For each captured stream, the number of its works that are included.
using Reach = std::map<const StreamState*, std::size_t>;

/// The works of a capture, in the order of the calls, which respects all dependencies.
struct Graph {
  std::vector<std::function<void()>> works;
  StreamState* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;  // thread that began the capture
  bool invalid = false;    // a call was made that breaks the capture
  Reach lengths;
  std::map<const StreamState*, Reach> waited;

  void add(const StreamState* stream, std::function<void()> work) {
    works.push_back(std::move(work));
    ++lengths[stream];
  }
  /// The works that are done when `stream` has done all that it has so far.
  [[nodiscard]] Reach reach_of(const StreamState* stream);
  /// Makes `stream` wait for the works in `reach`.
  void extend(const StreamState* stream, const Reach& reach);
  /// Whether the origin waits for all works of other streams.
  [[nodiscard]] bool joined();
};

/// Every API call holds this mutex.
[[nodiscard]] std::recursive_mutex& api_mutex();

[[nodiscard]] std::shared_ptr<StreamState> make_stream_state(bool blocking, int priority);
/// The stream of a handle; nullptr if the handle is unknown.
[[nodiscard]] std::shared_ptr<StreamState> stream_state(cudaStream_t stream);
/// Forgets the handle. The stream lives until its queued work has run.
void drop_stream(cudaStream_t stream);

/// Queues work, in order with the default stream. A captured stream adds the work to its graph.
void queue_work(const std::shared_ptr<StreamState>& stream, std::function<void()> run);
/// Queues work that waits for other processes. From the first call on, a thread lets streams
/// proceed.
void queue_poll(const std::shared_ptr<StreamState>& stream, std::function<bool()> poll);
/// Queues empty work that waits for `position`.
void queue_wait(const std::shared_ptr<StreamState>& stream, const Position& position);
[[nodiscard]] Position end_of(const std::shared_ptr<StreamState>& stream);

[[nodiscard]] bool reached(const Position& position);
/// Runs work until `position` is reached.
void run_until(const Position& position);
/// Runs something or nothing, at random: hosts that poll see progress.
void run_perhaps();
void run_all();
/// Whether a host function of a stream runs now, which may make no API call.
[[nodiscard]] bool in_host_function();
void set_in_host_function(bool now);

/// Whether the current call breaks a capture, which becomes invalid. Captures of the calling
/// thread count, in global mode also other threads' captures. CUDA's documentation only gives
/// examples such as cudaMalloc. Here, all calls that allocate, free or query progress break a
/// capture.
[[nodiscard]] bool breaks_capture();
/// Takes all streams out of the capture into `graph`.
void leave_capture(const Graph* graph);

/// Queues a kernel. Ends the program if the launch is invalid.
void queue_kernel(cudaStream_t stream, const Launch& launch, std::function<void()> body);

}  // namespace trireme::emulator
