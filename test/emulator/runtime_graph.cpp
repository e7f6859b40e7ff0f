// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime's calls for captures and graphs.
#include <map>

#include "devices.hpp"

namespace trireme::emulator {
namespace {

/// Captured graphs and executable graphs.
std::map<void*, std::shared_ptr<Graph>>& graphs() {
  static auto& only = *new std::map<void*, std::shared_ptr<Graph>>;
  return only;
}

std::shared_ptr<Graph> find(void* graph) {
  const auto found = graphs().find(graph);
  return found == graphs().end() ? nullptr : found->second;
}

cudaError_t destroy(void* graph) {
  return graphs().erase(graph) == 1 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t end_capture(const std::shared_ptr<StreamState>& state, cudaGraph_t* result) {
  *result = nullptr;
  const auto graph = state->capture;
  if (graph == nullptr || graph->origin != state.get()) return cudaErrorIllegalState;
  if (graph->mode != cudaStreamCaptureModeRelaxed &&
      graph->thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  leave_capture(graph.get());
  if (graph->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!graph->joined()) return cudaErrorStreamCaptureUnjoined;
  *result = reinterpret_cast<cudaGraph_t>(graph.get());
  graphs()[*result] = graph;
  return cudaSuccess;
}

}  // namespace
}  // namespace trireme::emulator

using namespace trireme::emulator;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call([&] {
    if (stream == nullptr) return cudaErrorStreamCaptureUnsupported;
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    if (state->capture != nullptr) return cudaErrorIllegalState;
    state->capture = std::make_shared<Graph>();
    state->capture->origin = state.get();
    state->capture->mode = mode;
    state->capture->thread = std::this_thread::get_id();
    return cudaSuccess;
  });
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* result) {
  return call([&] {
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    return end_capture(state, result);
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call([&] {
    const auto state = stream_state(stream);
    if (state == nullptr) return cudaErrorInvalidResourceHandle;
    if (state->capture == nullptr) {
      *status = cudaStreamCaptureStatusNone;
    } else {
      *status = state->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    }
    return cudaSuccess;
  });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* result, cudaGraph_t graph,
                                 unsigned long long /*flags*/) {
  return call([&] {
    const auto found = find(graph);
    if (found == nullptr) return cudaErrorInvalidValue;
    const auto copy = std::make_shared<Graph>(*found);
    *result = reinterpret_cast<cudaGraphExec_t>(copy.get());
    graphs()[*result] = copy;
    return cudaSuccess;
  });
}
cudaError_t cudaGraphUpload(cudaGraphExec_t graph, cudaStream_t stream) {
  return call([&] {
    const bool exist = find(graph) != nullptr && stream_state(stream) != nullptr;
    return exist ? cudaSuccess : cudaErrorInvalidValue;
  });
}
// A queued launch outlives the graph's handle.
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return call([&] {
    const auto found = find(graph);
    const auto state = stream_state(stream);
    if (found == nullptr || state == nullptr) return cudaErrorInvalidValue;
    queue_work(state, [found] {
      for (const auto& work : found->works) work();
    });
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  return call([&] { return destroy(graph); });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call([&] { return destroy(graph); });
}

}  // extern "C"
