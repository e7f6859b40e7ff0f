// SPDX-License-Identifier: Apache-2.0
// Chooses orders of execution. Work only waits for work queued earlier, which excludes
// deadlock.
#include "stream_queue.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "counts.hpp"
#include "devices.hpp"

namespace trireme::emulator {
namespace {

constexpr std::size_t kLongQueue = 2000;

struct Streams {
  std::map<cudaStream_t, std::shared_ptr<StreamState>> by_handle;
  std::vector<std::shared_ptr<StreamState>> all;  // dropped ones too while they have work
  std::map<int, std::shared_ptr<StreamState>> defaults;
  bool in_host_function = false;
};

// The object outlives all static objects.
Streams& streams() {
  static auto& only = *new Streams;
  return only;
}

std::shared_ptr<StreamState>& default_stream() {
  auto& state = streams().defaults[current_device()];
  if (state == nullptr) {
    state = std::make_shared<StreamState>();
    state->device = current_device();
    streams().all.push_back(state);
  }
  return state;
}

bool is_default(const std::shared_ptr<StreamState>& stream) {
  const auto found = streams().defaults.find(stream->device);
  return found != streams().defaults.end() && found->second == stream;
}

// Tries to run the next work. Returns false if other processes must act first.
bool try_next(const std::shared_ptr<StreamState>& stream) {
  if (stream->queue.empty()) fatal("a wait for work that was never queued");
  // If this work must wait, other processes may need the work of other streams first.
  const Work& work = stream->queue.front();
  for (const Position& position : work.after) {
    while (!reached(position)) {
      if (!try_next(position.stream)) return false;
    }
  }
  if (work.poll && !work.poll()) return false;
  if (work.run) work.run();
  stream->queue.pop_front();
  ++stream->finished;
  return true;
}

// A random stream with work, other than `except`; nullptr if there is none.
std::shared_ptr<StreamState> any_stream(const StreamState* except) {
  const auto& all = streams().all;
  const auto count = static_cast<std::uint32_t>(all.size());
  if (count == 0) return nullptr;
  const std::uint32_t first = random_below(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto& stream = all[(first + i) % count];
    if (stream.get() != except && !stream->queue.empty()) return stream;
  }
  return nullptr;
}

void run_next(const std::shared_ptr<StreamState>& stream) {
  while (!try_next(stream)) {
    const auto other = any_stream(stream.get());
    if (other == nullptr || !try_next(other)) std::this_thread::yield();
    if (stream->queue.empty()) return;
  }
}

// Works that wait for other processes and have not ended.
int& polls() {
  static int count = 0;
  return count;
}

// GPUs proceed while the host does other work.
void go_on() {
  for (;;) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    const std::unique_lock lock(api_mutex(), std::try_to_lock);
    if (!lock.owns_lock()) continue;
    for (int i = 0; i < 100 && polls() > 0; ++i) {
      if (const auto stream = any_stream(nullptr); stream != nullptr) try_next(stream);
    }
  }
}

void shorten_queues() {
  std::size_t works = 0;
  for (const auto& stream : streams().all) works += stream->queue.size();
  if (works < kLongQueue) return;
  for (std::size_t i = 0; i < kLongQueue / 2; ++i) {
    if (const auto stream = any_stream(nullptr); stream != nullptr) run_next(stream);
  }
}

}  // namespace

std::recursive_mutex& api_mutex() {
  static auto& only = *new std::recursive_mutex;
  return only;
}

std::shared_ptr<StreamState> make_stream_state(bool blocking, int priority) {
  auto state = std::make_shared<StreamState>();
  state->device = current_device();
  state->priority = priority;
  state->blocking = blocking;
  streams().all.push_back(state);
  streams().by_handle[reinterpret_cast<cudaStream_t>(state.get())] = state;
  return state;
}

std::shared_ptr<StreamState> stream_state(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy) return default_stream();
  const auto found = streams().by_handle.find(stream);
  return found == streams().by_handle.end() ? nullptr : found->second;
}

void drop_stream(cudaStream_t stream) {
  streams().by_handle.erase(stream);
  std::erase_if(streams().all, [](const auto& s) {
    return s->queue.empty() && !is_default(s) &&
           !streams().by_handle.contains(reinterpret_cast<cudaStream_t>(s.get()));
  });
}

Position end_of(const std::shared_ptr<StreamState>& stream) {
  return {stream, stream->queued()};
}

void queue_work(const std::shared_ptr<StreamState>& stream, std::function<void()> run) {
  if (stream->capture != nullptr) {
    if (run) stream->capture->add(stream.get(), std::move(run));
    return;
  }
  if (is_default(stream) && breaks_capture()) {
    fatal(
        "work of the default stream while this thread captures another: it would be missing "
        "in the graph");
  }
  count(Cost::work);
  shorten_queues();
  Work work;
  work.run = std::move(run);
  if (is_default(stream)) {
    for (const auto& other : streams().all) {
      if (other != stream && other->blocking && other->device == stream->device) {
        work.after.push_back(end_of(other));
      }
    }
  } else if (stream->blocking) {
    if (const auto found = streams().defaults.find(stream->device);
        found != streams().defaults.end()) {
      work.after.push_back(end_of(found->second));
    }
  }
  stream->queue.push_back(std::move(work));
}

void queue_poll(const std::shared_ptr<StreamState>& stream, std::function<bool()> poll) {
  if (stream->capture != nullptr) fatal("communication in graphs is not emulated");
  static const bool started = [] {
    std::thread(go_on).detach();
    return true;
  }();
  static_cast<void>(started);
  queue_work(stream, nullptr);
  ++polls();
  stream->queue.back().poll = [poll = std::move(poll)] {
    const bool done = poll();
    if (done) --polls();
    return done;
  };
}

void queue_wait(const std::shared_ptr<StreamState>& stream, const Position& position) {
  if (stream->capture != nullptr) return;  // a graph keeps the order of the calls
  queue_work(stream, nullptr);
  stream->queue.back().after.push_back(position);
}

bool reached(const Position& position) {
  return position.stream == nullptr || position.stream->finished >= position.works;
}

void run_until(const Position& position) {
  // Run only what is needed, streams in turn, or all others first: a GPU may do any of these.
  const std::uint32_t manner = random_below(3);
  while (!reached(position)) {
    std::shared_ptr<StreamState> next;
    if (manner == 1) next = any_stream(nullptr);
    if (manner == 2) next = any_stream(position.stream.get());
    run_next(next != nullptr ? next : position.stream);
  }
}

void run_perhaps() {
  if (random_below(2) == 0) return;
  if (const auto stream = any_stream(nullptr); stream != nullptr) try_next(stream);
}

void run_all() {
  while (const auto stream = any_stream(nullptr)) run_next(stream);
}

bool in_host_function() { return streams().in_host_function; }
void set_in_host_function(bool now) { streams().in_host_function = now; }

bool breaks_capture() {
  bool breaks = false;
  for (const auto& stream : streams().all) {
    Graph* const graph = stream->capture.get();
    if (graph == nullptr || graph->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool own = graph->thread == std::this_thread::get_id();
    if (!own && graph->mode != cudaStreamCaptureModeGlobal) continue;
    graph->invalid = breaks = true;
  }
  return breaks;
}

Reach Graph::reach_of(const StreamState* stream) {
  Reach reach = waited[stream];
  reach[stream] = lengths[stream];
  return reach;
}

void Graph::extend(const StreamState* stream, const Reach& reach) {
  Reach& all = waited[stream];
  for (const auto& [other, length] : reach) all[other] = std::max(all[other], length);
}

bool Graph::joined() {
  Reach reach = reach_of(origin);
  return std::ranges::all_of(lengths,
                             [&](const auto& l) { return reach[l.first] >= l.second; });
}

void leave_capture(const Graph* graph) {
  for (const auto& stream : streams().all) {
    if (stream->capture.get() == graph) stream->capture = nullptr;
  }
}

void queue_kernel(cudaStream_t stream, const Launch& launch, std::function<void()> body) {
  const std::scoped_lock lock(api_mutex());
  check_launch(launch);
  const auto state = stream_state(stream);
  if (state == nullptr || state->device != current_device()) {
    fatal("launch at %s:%d on no stream, or on another device's", launch.where.file,
          launch.where.line);
  }
  if (last_error() != cudaSuccess) {
    fatal("launch at %s:%d: cudaGetLastError() still has error %d of an earlier call",
          launch.where.file, launch.where.line, static_cast<int>(last_error()));
  }
  queue_work(state, [launch, body = std::move(body)] { run_grid(launch, body); });
}

}  // namespace trireme::emulator
