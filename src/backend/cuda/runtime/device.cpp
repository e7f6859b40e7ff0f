// SPDX-License-Identifier: Apache-2.0
// One GPU: device memory and pinned host memory, both recycled, copies, and profiler ranges.
#include <cuda_profiler_api.h>
#include <nvtx3/nvToolsExt.h>

#include "trireme/backend/cuda.hpp"
#include "trireme/device/block_pool.hpp"

#include "check.hpp"
#include "probe.hpp"
#include "stream.hpp"

namespace trireme {

namespace cuda {

namespace {

constexpr double kPatience = 5;  // seconds

/// Keeps freed blocks: cudaMalloc and cudaFree would wait for all of the GPU's work.
class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index) : index_(index) {
    cudaDeviceProp properties{};
    TRM_CUDA(cudaGetDeviceProperties(&properties, index));
    name_ = fmt::format("cuda:{} {}", index, static_cast<const char*>(properties.name));
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
  void trim() override {
    TRM_CUDA(cudaDeviceSynchronize());
    pool_.drop_kept([](void* block) { TRM_CUDA(cudaFree(block)); });
  }
  ~CudaDevice() override {
    cudaSetDevice(index_);
    pool_.drop_kept([](void* block) { cudaFree(block); });
    host_pool_.drop_kept([](void* block) { cudaFreeHost(block); });
  }

  [[nodiscard]] DeviceKind kind() const override { return DeviceKind::cuda; }
  [[nodiscard]] std::string name() const override { return name_; }
  std::unique_ptr<Stream> make_stream() override {
    select_device(index_);
    return std::make_unique<CudaStream>();
  }
  void* allocate(std::size_t bytes) override { return pool_.allocate(bytes); }
  void release(void* memory, std::size_t) noexcept override { pool_.release(memory); }
  void* allocate_host(std::size_t bytes) override { return host_pool_.allocate(bytes); }
  void release_host(void* memory) noexcept override { host_pool_.release(memory); }

  void copy_to_host(void* host, const void* from, std::size_t bytes, Stream& s) override {
    copy(host, from, bytes, cudaMemcpyDeviceToHost, s);
  }
  void copy_from_host(void* to, const void* host, std::size_t bytes, Stream& s) override {
    copy(to, host, bytes, cudaMemcpyHostToDevice, s);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream& s) override {
    copy(to, from, bytes, cudaMemcpyDeviceToDevice, s);
  }
  void zero(void* to, std::size_t bytes, Stream& s) override {
    if (bytes > 0) TRM_CUDA(cudaMemsetAsync(to, 0, bytes, native(s)));
  }
  [[nodiscard]] MemoryUse memory() const override { return pool_.use(); }
  void reset_peak() override { pool_.reset_peak(); }
  BlockPool& pool() override { return pool_; }

  void begin_range(const std::string& name) override { nvtxRangePushA(name.c_str()); }
  void end_range() override { nvtxRangePop(); }
  void start_profiler() override { TRM_CUDA(cudaProfilerStart()); }
  void stop_profiler() override { TRM_CUDA(cudaProfilerStop()); }

 private:
  static void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                   Stream& s) {
    if (bytes > 0) TRM_CUDA(cudaMemcpyAsync(to, from, bytes, kind, native(s)));
  }

  /// Allocates with `take`. If memory is exhausted, returns kept blocks to the system and tries
  /// once more. Returning memory waits for all of the GPU's work. Such work may wait for a
  /// message that this rank sends later, and would never end: returns null after kPatience.
  template <class Take>
  void* fresh(BlockPool& pool, Take take, cudaError_t (*give_back)(void*)) const {
    select_device(index_);
    void* block = nullptr;
    cudaError_t code = take(&block);
    if (code == cudaErrorMemoryAllocation && !pool.kept().empty()) {
      static_cast<void>(cudaGetLastError());
      if (!idle_within(index_, kPatience)) return nullptr;
      pool.drop_kept([&](void* kept) { TRM_CUDA(give_back(kept)); });
      code = take(&block);
    }
    if (code == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      return nullptr;
    }
    TRM_CUDA(code);
    return block;
  }

  void* fresh_block(std::size_t size) {
    void* block = fresh(
        pool_, [&](void** to) { return cudaMalloc(to, size); }, cudaFree);
    if (block == nullptr) throw_full(size);
    return block;
  }

  [[noreturn]] void throw_full(std::size_t size) const {
    std::size_t free = 0;
    std::size_t total = 0;
    TRM_CUDA(cudaMemGetInfo(&free, &total));
    throw Error(fmt::format(
        "out of memory on {}: {} MiB more were asked for. {} MiB are in use and {} MiB "
        "reserved by this rank; {} of the GPU's {} MiB are free. Use more ranks, a higher "
        "zero_optimization.stage, a smaller micro-batch or a smaller model",
        name_, size >> 20U, pool_.use().in_use >> 20U, pool_.use().reserved >> 20U, free >> 20U,
        total >> 20U));
  }

  void* fresh_host_block(std::size_t size) {
    // Copies of every device may use portable memory.
    void* block = fresh(
        host_pool_, [&](void** to) { return cudaHostAlloc(to, size, cudaHostAllocPortable); },
        cudaFreeHost);
    TRM_REQUIRE(block != nullptr,
                "out of pinned host memory for {}: {} MiB more were asked for, {} MiB are in "
                "use. Raise the limit of locked memory (ulimit -l), or use fewer ranks on this "
                "node",
                name_, size >> 20U, host_pool_.use().in_use >> 20U);
    return block;
  }

  int index_;
  std::string name_;
  BlockPool pool_{[this](std::size_t size) { return fresh_block(size); }};
  BlockPool host_pool_{[this](std::size_t size) { return fresh_host_block(size); }};
};

/// Creates the process's context on the GPU.
void enter(int index) {
  const cudaError_t code = cudaSetDevice(index);
  const cudaError_t made = code == cudaSuccess ? cudaFree(nullptr) : code;
  if (made == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  TRM_REQUIRE(made != cudaErrorDevicesUnavailable,
              "GPU {} is busy or in exclusive mode: another process holds the GPU. Start "
              "one rank per GPU, or set the compute mode to default (nvidia-smi -c DEFAULT)",
              index);
  TRM_REQUIRE(made != cudaErrorMemoryAllocation,
              "GPU {} has no memory left for one more process; nvidia-smi shows who uses it",
              index);
  throw_cuda(made, "cudaSetDevice", std::source_location::current());
}

}  // namespace

}  // namespace cuda

std::unique_ptr<Device> make_cuda_device(int index) {
  const std::string trouble = cuda_trouble();
  TRM_REQUIRE(trouble.empty(), "{}", trouble);
  const int count = cuda_device_count();
  TRM_REQUIRE(index >= 0 && index < count,
              "there is no GPU {}: this process sees {}, counted from 0{}", index, count,
              cuda::visible_devices());
  const std::string weakness = cuda::weakness_of(index);
  TRM_REQUIRE(weakness.empty(), "{}", weakness);
  cuda::enter(index);
  return std::make_unique<cuda::CudaDevice>(index);
}

}  // namespace trireme
