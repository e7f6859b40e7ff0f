// SPDX-License-Identifier: Apache-2.0
// CUDA's handles behind Device and Stream.
#pragma once

#include <cuda_runtime.h>

#include "trireme/device/device.hpp"

namespace trireme::cuda {

class CudaStream final : public Stream {
 public:
  explicit CudaStream(int priority = 0);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  void synchronize() override;
  [[nodiscard]] std::unique_ptr<Event> record() override;
  [[nodiscard]] std::unique_ptr<Event> record_timed() override;
  void wait(Event& event) override;
  [[nodiscard]] cudaStream_t native() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Streams of a CUDA device are CudaStreams.
[[nodiscard]] inline cudaStream_t native(const Stream& s) {
  return static_cast<const CudaStream&>(s).native();
}

}  // namespace trireme::cuda
