// SPDX-License-Identifier: Apache-2.0
// Everything in kernels that a host compiler can't read: launches, dynamic shared memory,
// asynchronous copies, matrix instructions. No kernel uses <<<>>>, `extern __shared__` or asm
// itself. test/emulator has a version of this file for CPUs, which runs the kernels without a
// GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <type_traits>
#include <utility>

#include "../runtime/check.hpp"
#include "../runtime/shared_memory.hpp"

namespace trireme::cuda {

/// Lets launches of `kernel` have so many bytes of shared memory.
template <class... Parameters>
void allow_shared_memory(void (*kernel)(Parameters...), std::size_t bytes) {
  int device = 0;
  TRM_CUDA(cudaGetDevice(&device));
  if (!asks_for_more(reinterpret_cast<const void*>(kernel), device, bytes)) return;
  TRM_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                static_cast<int>(bytes)));
  TRM_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                cudaSharedmemCarveoutMaxShared));
}

/// Queues kernel(args...) on `stream`. Throws Error with the kernel's launch if CUDA refuses.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, Arguments&&... arguments) {
  // Static and dynamic shared memory share 48 KiB; static arrays take at most 16 KiB.
  constexpr std::size_t kWithoutAsking = std::size_t{32} << 10U;
  if (shared_bytes > kWithoutAsking) allow_shared_memory(kernel, shared_bytes);
  kernel<<<grid, block, shared_bytes, stream>>>(
      static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  TRM_CUDA(cudaGetLastError());
}

/// The thread block's dynamic shared memory, aligned to 128 bytes.
template <class T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(128) unsigned char trireme_dynamic_shared[];
  return reinterpret_cast<T*>(trireme_dynamic_shared);
}

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// Copies 16 bytes from global to shared memory. Unless `valid`, writes zeros and doesn't read
/// `global`.
__device__ __forceinline__ void cp_async16(void* shared, const void* global, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes)
               : "memory");
}
/// Closes a group of this thread's copies.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
/// Waits until at most `Left` groups of this thread are pending. Reading other threads' copies
/// needs a barrier after this call.
template <int Left>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(Left) : "memory");
}

/// Loads four 8×8 matrices of 16-bit elements. Lanes 8i … 8i+7 give the addresses of matrix i's
/// rows, 16 bytes each. Lane l receives, in r[i], elements 2(l mod 4) and 2(l mod 4)+1 of row
/// l/4 of matrix i.
__device__ __forceinline__ void ldmatrix4(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
/// Loads like ldmatrix4, but transposes each matrix.
__device__ __forceinline__ void ldmatrix4_transposed(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

/// d += a b with a 16×16, b 16×8, d 16×8, in the fragments of mma.m16n8k16. See "Matrix
/// Fragments for mma.m16n8k16" in the PTX ISA. T: __nv_bfloat16 or __half.
template <class T>
__device__ __forceinline__ void mma(float (&d)[4], const std::uint32_t (&a)[4],
                                    const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    static_assert(std::is_same_v<T, __half>);
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

/// 2^x to two units in the last place; 0 if the result is below 2^-126.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

/// Bytes of scratch that sort_pairs needs for `count` keys.
[[nodiscard]] std::size_t sort_scratch_bytes(std::int64_t count);
/// Sorts pairs by key; equal keys keep their order. All arrays are on the device; keys are <
/// 2^bits.
void sort_pairs(cudaStream_t stream, void* scratch, std::size_t scratch_bytes,
                const std::uint32_t* keys, std::uint32_t* sorted_keys,
                const std::uint32_t* values, std::uint32_t* sorted_values, std::int64_t count,
                int bits);

}  // namespace trireme::cuda
