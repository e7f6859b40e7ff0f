// SPDX-License-Identifier: Apache-2.0
// Streams that keep their work until the host waits for it: then they take turns at random as
// far as events allow. A position in a stream is the count of works queued there so far.
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

/// Reached when `stream` has run so many works.
struct Position {
  std::shared_ptr<StreamState> stream;
  std::uint64_t works = 0;
};

struct Work {
  std::vector<Position> after;
  std::function<void()> run;   // may be empty
  std::function<bool()> poll;  // instead, for what other processes take part in: true when done
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

/// Works of captured streams, by their counts there.
using Reach = std::map<const StreamState*, std::size_t>;

/// What a capture keeps, in the order of the calls, which respects all dependencies.
struct Graph {
  std::vector<std::function<void()>> works;
  StreamState* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;  // where it began
  bool invalid = false;    // a call was made that no capture bears
  Reach lengths;
  std::map<const StreamState*, Reach> waited;

  void add(const StreamState* stream, std::function<void()> work) {
    works.push_back(std::move(work));
    ++lengths[stream];
  }
  /// What is done when `stream` has come to its end so far.
  [[nodiscard]] Reach reach_of(const StreamState* stream);
  /// `stream` waits for it.
  void extend(const StreamState* stream, const Reach& reach);
  /// The origin waits for all other streams' works.
  [[nodiscard]] bool joined();
};

/// Held by every call.
[[nodiscard]] std::recursive_mutex& api_mutex();

[[nodiscard]] std::shared_ptr<StreamState> make_stream_state(bool blocking, int priority);
/// Of a handle; nullptr where it is none of ours.
[[nodiscard]] std::shared_ptr<StreamState> stream_state(cudaStream_t stream);
/// The last reference is gone, or nearly so.
void drop_stream(cudaStream_t stream);

/// Queues, after what the default stream demands; into the graph where the stream is captured.
void queue_work(const std::shared_ptr<StreamState>& stream, std::function<void()> run);
/// Work that waits for other processes: a thread of its own lets streams get on from now on.
void queue_poll(const std::shared_ptr<StreamState>& stream, std::function<bool()> poll);
/// An empty work after `position`.
void queue_wait(const std::shared_ptr<StreamState>& stream, const Position& position);
[[nodiscard]] Position end_of(const std::shared_ptr<StreamState>& stream);

[[nodiscard]] bool reached(const Position& position);
/// Runs until it is reached.
void run_until(const Position& position);
/// Perhaps runs something: polling hosts get on.
void run_perhaps();
void run_all();
/// Whether a host function of a stream is what runs now: it may call nothing.
[[nodiscard]] bool in_host_function();
void set_in_host_function(bool now);

/// Whether the calling thread makes a call now that a capture of its own (or anybody's, in
/// global mode) doesn't bear; that is invalid then. CUDA's documentation names some calls,
/// "e.g." cudaMalloc; here all are that allocate, free or look at how far the GPU is.
[[nodiscard]] bool breaks_capture();
/// No stream is captured into `graph` any longer.
void leave_capture(const Graph* graph);

/// A kernel; ends the program where it can't be launched.
void queue_kernel(cudaStream_t stream, const Launch& launch, std::function<void()> body);

}  // namespace trireme::emulator
