// SPDX-License-Identifier: Apache-2.0
// CUDA C++ that nvcc has built in and g++ hasn't: barriers, warp shuffles, atomics, bit
// operations. Calls carry their line for error messages.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <type_traits>

#include "block.hpp"

#undef __shared__
#define __shared__ static
#undef __launch_bounds__
#define __launch_bounds__(...)

namespace trireme::emulator {

struct Shuffle {
  std::uint64_t value;
  int source;
};

// Each lane computes its own source; this function only reads the values.
inline void fetch(void* const* lanes) {
  std::uint64_t values[kWarp];
  for (int i = 0; i < kWarp; ++i) values[i] = static_cast<Shuffle*>(lanes[i])->value;
  for (int i = 0; i < kWarp; ++i) {
    auto& lane = *static_cast<Shuffle*>(lanes[i]);
    lane.value = values[lane.source];
  }
}

inline void vote(void* const* lanes) {
  std::uint32_t all = 0;
  for (int i = 0; i < kWarp; ++i) {
    all |= *static_cast<std::uint32_t*>(lanes[i]) != 0 ? 1U << static_cast<unsigned>(i) : 0U;
  }
  for (int i = 0; i < kWarp; ++i) *static_cast<std::uint32_t*>(lanes[i]) = all;
}

inline void nothing(void* const* /*lanes*/) {}

inline int lane_index() {
  return static_cast<int>(
      (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % kWarp);
}

template <class T>
T shuffle(const char* name, unsigned mask, T value, int source, Site site) {
  static_assert(sizeof(T) <= 8);
  Shuffle mine{0, source};
  std::memcpy(&mine.value, static_cast<const void*>(&value), sizeof(T));
  warp_collective(name, mask, &mine, fetch, site);
  std::memcpy(static_cast<void*>(&value), &mine.value, sizeof(T));
  return value;
}

inline void check_width(int width, Site site) {
  if (width < 1 || width > kWarp || (width & (width - 1)) != 0) {
    fatal("a shuffle's width is %d at %s:%d", width, site.file, site.line);
  }
}

}  // namespace trireme::emulator

inline constexpr int warpSize = 32;

inline void __syncthreads(trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  trireme::emulator::barrier(site);
}
inline void __syncwarp(unsigned mask = 0xffffffffU,
                       trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  std::uint32_t mine = 0;
  trireme::emulator::warp_collective("__syncwarp", mask, &mine, trireme::emulator::nothing,
                                     site);
}

// Defines CUDA's overloads one by one, which gives the same conversions of arguments.
#define TRM_EMULATED_SHUFFLES(T)                                                              \
  inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,                    \
                       trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) { \
    trireme::emulator::check_width(width, site);                                              \
    const int lane = trireme::emulator::lane_index();                                         \
    const int from = (lane & ~(width - 1)) | (source & (width - 1));                          \
    return trireme::emulator::shuffle("__shfl_sync", mask, value, from, site);                \
  }                                                                                           \
  inline T __shfl_xor_sync(                                                                   \
      unsigned mask, T value, int lane_mask, int width = 32,                                  \
      trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {                  \
    trireme::emulator::check_width(width, site);                                              \
    const int lane = trireme::emulator::lane_index();                                         \
    const int to = lane ^ lane_mask;                                                          \
    const int from = to <= (lane | (width - 1)) ? to : lane;                                  \
    return trireme::emulator::shuffle("__shfl_xor_sync", mask, value, from, site);            \
  }                                                                                           \
  inline T __shfl_down_sync(                                                                  \
      unsigned mask, T value, unsigned delta, int width = 32,                                 \
      trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {                  \
    trireme::emulator::check_width(width, site);                                              \
    const int lane = trireme::emulator::lane_index();                                         \
    const int to = lane + static_cast<int>(delta);                                            \
    const int from = to <= (lane | (width - 1)) ? to : lane;                                  \
    return trireme::emulator::shuffle("__shfl_down_sync", mask, value, from, site);           \
  }                                                                                           \
  inline T __shfl_up_sync(                                                                    \
      unsigned mask, T value, unsigned delta, int width = 32,                                 \
      trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {                  \
    trireme::emulator::check_width(width, site);                                              \
    const int lane = trireme::emulator::lane_index();                                         \
    const int to = lane - static_cast<int>(delta);                                            \
    const int from = to >= (lane & ~(width - 1)) ? to : lane;                                 \
    return trireme::emulator::shuffle("__shfl_up_sync", mask, value, from, site);             \
  }
TRM_EMULATED_SHUFFLES(int)
TRM_EMULATED_SHUFFLES(unsigned)
TRM_EMULATED_SHUFFLES(long)
TRM_EMULATED_SHUFFLES(unsigned long)
TRM_EMULATED_SHUFFLES(long long)
TRM_EMULATED_SHUFFLES(unsigned long long)
TRM_EMULATED_SHUFFLES(float)
TRM_EMULATED_SHUFFLES(double)
TRM_EMULATED_SHUFFLES(__half)
TRM_EMULATED_SHUFFLES(__nv_bfloat16)
TRM_EMULATED_SHUFFLES(__half2)
TRM_EMULATED_SHUFFLES(__nv_bfloat162)
#undef TRM_EMULATED_SHUFFLES

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              trireme::emulator::Site site = {__builtin_FILE(),
                                                              __builtin_LINE()}) {
  std::uint32_t mine = predicate != 0 ? 1U : 0U;
  trireme::emulator::warp_collective("__ballot_sync", mask, &mine, trireme::emulator::vote,
                                     site);
  return mine;
}
inline int __any_sync(unsigned mask, int predicate,
                      trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  return __ballot_sync(mask, predicate, site) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      trireme::emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  return __ballot_sync(mask, predicate, site) == 0xffffffffU ? 1 : 0;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((std::uint64_t{a} * b) >> 32U);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>((static_cast<Wide>(a) * b) >> 64U);
}
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

// No other thread runs during an atomic. The concept lists the integers that the project may
// use.
template <class T>
concept AtomicInteger = std::same_as<T, int> || std::same_as<T, unsigned> ||
    std::same_as<T, long long> || std::same_as<T, unsigned long long>;
template <AtomicInteger T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  const T old = *at;
  *at = std::min(old, value);
  return old;
}
template <AtomicInteger T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  const T old = *at;
  *at = std::max(old, value);
  return old;
}
template <AtomicInteger T>
requires(!std::same_as<T, long long>)  // CUDA has no such overload
    T atomicAdd(T* at, std::type_identity_t<T> value) {
  const T old = *at;
  *at = static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) +
                       static_cast<std::make_unsigned_t<T>>(value));
  return old;
}

inline void __threadfence() {}
inline void __threadfence_block() {}
[[noreturn]] inline void __trap() { trireme::emulator::fatal("__trap()"); }

// Loads and stores with cache hints. Global accesses of 16 bytes must be aligned.
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <class T>
void __stcg(T* p, std::type_identity_t<T> value) {
  *p = value;
}

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / std::sqrt(double{x})); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) {
  volatile float product = a * b;  // volatile prevents a fused operation
  return product;
}
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) {
  volatile double product = a * b;
  return product;
}
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0 ? std::min(x, 1.0F) : 0.0F; }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }

// CUDA's global min and max, without std::.
template <class T>
requires std::is_arithmetic_v<T>
constexpr T min(T a, T b) { return b < a ? b : a; }
template <class T>
requires std::is_arithmetic_v<T>
constexpr T max(T a, T b) { return a < b ? b : a; }
