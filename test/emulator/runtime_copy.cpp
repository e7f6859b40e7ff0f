// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime's copies and fills. Pageable host memory is read at the call, pinned memory
// when the copy runs.
#include <cstring>
#include <vector>

#include "arrays.hpp"
#include "counts.hpp"
#include "devices.hpp"

namespace trireme::emulator {
namespace {

struct Rows {
  std::size_t width = 0;
  std::size_t height = 1;
  std::size_t to_pitch = 0;
  std::size_t from_pitch = 0;
};

std::size_t extent(std::size_t width, std::size_t height, std::size_t pitch) {
  return height == 0 || width == 0 ? 0 : (height - 1) * pitch + width;
}

void copy_rows(std::byte* to, const std::byte* from, const Rows& rows) {
  for (std::size_t i = 0; i < rows.height; ++i) {
    std::memcpy(to + i * rows.to_pitch, from + i * rows.from_pitch, rows.width);
  }
}

bool agrees(const void* p, std::size_t bytes, bool on_device) {
  const Range r = range_of(p);
  return (r.home == Home::device) == on_device && lies_in(p, bytes, r.home);
}

// Whether both addresses agree with `kind` and all rows lie within their arrays.
bool check_kind(void* to, const void* from, const Rows& rows, cudaMemcpyKind kind) {
  const std::size_t to_bytes = extent(rows.width, rows.height, rows.to_pitch);
  const std::size_t from_bytes = extent(rows.width, rows.height, rows.from_pitch);
  if (kind == cudaMemcpyDefault) {
    return lies_in(to, to_bytes, range_of(to).home) &&
           lies_in(from, from_bytes, range_of(from).home);
  }
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return agrees(to, to_bytes, to_device) && agrees(from, from_bytes, from_device);
}

cudaError_t copy(void* to, const void* from, const Rows& rows, cudaMemcpyKind kind,
                 cudaStream_t stream, bool wait) {
  const auto state = stream_state(stream);
  if (state == nullptr) return cudaErrorInvalidResourceHandle;
  if (rows.width == 0 || rows.height == 0) return cudaSuccess;
  if (rows.height > 1 && (rows.to_pitch < rows.width || rows.from_pitch < rows.width)) {
    return cudaErrorInvalidPitchValue;
  }
  if (!check_kind(to, from, rows, kind)) return cudaErrorInvalidValue;
  const Home source = range_of(from).home;
  const Home target = range_of(to).home;
  const bool pageable = source == Home::pageable || target == Home::pageable;
  if (pageable && state->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
  if (pageable) count(Cost::pageable_copy);
  auto* const t = static_cast<std::byte*>(to);
  const auto* const f = static_cast<const std::byte*>(from);
  if (source == Home::pageable && target == Home::device) {
    std::vector<std::byte> staged(rows.width * rows.height);
    copy_rows(staged.data(), f, {rows.width, rows.height, rows.width, rows.from_pitch});
    queue_work(state, [t, rows, staged = std::move(staged)] {
      copy_rows(t, staged.data(), {rows.width, rows.height, rows.to_pitch, rows.width});
    });
  } else {
    queue_work(state, [t, f, rows] { copy_rows(t, f, rows); });
    wait = wait || pageable;
  }
  if (wait) {
    count(Cost::drain);
    run_until(end_of(state));
  }
  return cudaSuccess;
}

cudaError_t fill(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                 cudaStream_t stream) {
  const auto state = stream_state(stream);
  if (state == nullptr) return cudaErrorInvalidResourceHandle;
  if (width == 0 || height == 0) return cudaSuccess;
  if (height > 1 && pitch < width) return cudaErrorInvalidPitchValue;
  const Home home = range_of(to).home;
  if (home == Home::pageable || !lies_in(to, extent(width, height, pitch), home)) {
    return cudaErrorInvalidValue;
  }
  queue_work(state, [=] {
    for (std::size_t i = 0; i < height; ++i) {
      std::memset(static_cast<std::byte*>(to) + i * pitch, value, width);
    }
  });
  return cudaSuccess;
}

Rows line(std::size_t bytes) { return {bytes, 1, bytes, bytes}; }

}  // namespace
}  // namespace trireme::emulator

using namespace trireme::emulator;

extern "C" {

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call([&] {
    const bool on_device = kind == cudaMemcpyDeviceToDevice;
    return copy(to, from, line(bytes), kind, nullptr, !on_device);
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call([&] { return copy(to, from, line(bytes), kind, stream, false); });
}
cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from,
                         std::size_t from_pitch, std::size_t width, std::size_t height,
                         cudaMemcpyKind kind) {
  return call([&] {
    return copy(to, from, {width, height, to_pitch, from_pitch}, kind, nullptr,
                kind != cudaMemcpyDeviceToDevice);
  });
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  return call([&] {
    return copy(to, from, {width, height, to_pitch, from_pitch}, kind, stream, false);
  });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return call([&] { return fill(to, bytes, value, bytes, 1, nullptr); });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return call([&] { return fill(to, bytes, value, bytes, 1, stream); });
}
cudaError_t cudaMemset2D(void* to, std::size_t pitch, int value, std::size_t width,
                         std::size_t height) {
  return call([&] { return fill(to, pitch, value, width, height, nullptr); });
}
cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  return call([&] { return fill(to, pitch, value, width, height, stream); });
}

}  // extern "C"
