// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime's calls for streams and events.
#include <chrono>
#include <map>

#include "counts.hpp"
#include "devices.hpp"

namespace trireme::emulator {
namespace {

using Clock = std::chrono::steady_clock;

struct Event {
  bool timed = true;
  int device = 0;
  Position recorded;  // without a stream before the first record
  std::shared_ptr<Clock::time_point> time;
  std::shared_ptr<Graph> capture;  // the capture of the last record
  Reach reach;                     // the works of the capture that the event stands for
};

struct Events {
  std::map<cudaEvent_t, std::unique_ptr<Event>> all;
};

Events& events() {
  static auto& only = *new Events;
  return only;
}

Event* find(cudaEvent_t event) {
  const auto found = events().all.find(event);
  return found == events().all.end() ? nullptr : found->second.get();
}

cudaError_t create(cudaEvent_t* result, unsigned flags) {
  auto event = std::make_unique<Event>();
  event->timed = (flags & cudaEventDisableTiming) == 0;
  event->device = current_device();
  *result = reinterpret_cast<cudaEvent_t>(event.get());
  events().all[*result] = std::move(event);
  return cudaSuccess;
}

cudaError_t record(cudaEvent_t handle, cudaStream_t stream) {
  Event* const event = find(handle);
  const auto state = stream_state(stream);
  if (event == nullptr || state == nullptr || event->device != state->device) {
    return cudaErrorInvalidResourceHandle;
  }
  event->capture = state->capture;
  if (state->capture != nullptr) {
    event->reach = state->capture->reach_of(state.get());
    return cudaSuccess;
  }
  event->time = std::make_shared<Clock::time_point>();
  queue_work(state, [time = event->time] { *time = Clock::now(); });
  event->recorded = end_of(state);
  return cudaSuccess;
}

// Takes the stream into the capture of an event that it waits for.
cudaError_t join(const std::shared_ptr<StreamState>& state, const Event& event) {
  if (event.capture->origin->capture != event.capture) return cudaErrorCapturedEvent;  // over
  if (state->capture != nullptr && state->capture != event.capture) {
    state->capture->invalid = event.capture->invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  state->capture = event.capture;
  state->capture->extend(state.get(), event.reach);
  return cudaSuccess;
}

cudaError_t make_stream(cudaStream_t* result, unsigned flags, int priority) {
  if ((flags & ~unsigned{cudaStreamNonBlocking}) != 0) return cudaErrorInvalidValue;
  const auto state = make_stream_state(flags != cudaStreamNonBlocking, priority);
  *result = reinterpret_cast<cudaStream_t>(state.get());
  return cudaSuccess;
}

}  // namespace
}  // namespace trireme::emulator

using namespace trireme::emulator;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return call([&] { return make_stream(stream, cudaStreamDefault, 0); });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&] { return make_stream(stream, flags, 0); });
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return call([&] { return make_stream(stream, flags, priority); });
}
// Queued work still runs.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call([&] {
    if (stream == nullptr || stream_state(stream) == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
    drop_stream(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([&] {
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    if (breaks_capture() || state->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    count(Cost::drain);
    run_until(end_of(state));
    return cudaSuccess;
  });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call([&] {
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    if (breaks_capture() || state->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    run_perhaps();
    return state->queue.empty() ? cudaSuccess : cudaErrorNotReady;
  });
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return call([&] {
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    *priority = state->priority;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t handle, unsigned /*flags*/) {
  return call([&] {
    Event* const event = find(handle);
    const auto state = stream_state(stream);
    if (event == nullptr || state == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) return join(state, *event);
    if (state->capture != nullptr && event->recorded.stream != nullptr) {
      state->capture->invalid = true;
      return cudaErrorStreamCaptureIsolation;
    }
    if (event->recorded.stream != nullptr) {
      queue_wait(state, event->recorded);
    }
    return cudaSuccess;
  });
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return call([&] {
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    if (function == nullptr) return cudaErrorInvalidValue;
    queue_work(state, [function, data] {
      set_in_host_function(true);
      function(data);
      set_in_host_function(false);
    });
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return call([&] { return create(event, cudaEventDefault); });
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&] { return create(event, flags); });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([&] {
    return events().all.erase(event) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&] { return record(event, stream); });
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call([&] {
    const Event* const event = find(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) return cudaErrorCapturedEvent;
    if (breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    run_perhaps();
    return reached(event->recorded) ? cudaSuccess : cudaErrorNotReady;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call([&] {
    const Event* const event = find(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) return cudaErrorCapturedEvent;
    if (breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    count(Cost::event_wait);
    run_until(event->recorded);
    return cudaSuccess;
  });
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return call([&] {
    const Event* const a = find(start);
    const Event* const b = find(end);
    if (a != nullptr && b != nullptr && (a->capture != nullptr || b->capture != nullptr)) {
      return cudaErrorCapturedEvent;
    }
    if (a == nullptr || b == nullptr || !a->timed || !b->timed ||
        a->recorded.stream == nullptr || b->recorded.stream == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!reached(a->recorded) || !reached(b->recorded)) return cudaErrorNotReady;
    *ms = std::chrono::duration<float, std::milli>(*b->time - *a->time).count();
    return cudaSuccess;
  });
}

}  // extern "C"
