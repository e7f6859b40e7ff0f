// SPDX-License-Identifier: Apache-2.0
// Compares fragments of mma.m16n8k16 with the PTX ISA's formulas, and ldmatrix with them.
#include <vector>

#include <boost/test/unit_test.hpp>

#include "../simt.cuh"
#include "array.hpp"

using namespace trireme::cuda;

namespace {

constexpr unsigned kM = 16;
constexpr unsigned kN = 8;
constexpr unsigned kK = 16;

template <class T>
std::uint32_t bits_of(T x) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, &x, 2);
  return bits;
}

// Stores d: element i is in row group + 8 if i >= 2, column 2 pair + (i & 1).
void store(const float (&d)[4], float* y) {
  const unsigned group = threadIdx.x >> 2U;
  const unsigned pair = threadIdx.x % 4;
  for (unsigned i = 0; i < 4; ++i) {
    y[(i < 2 ? group : group + 8) * kN + pair * 2 + (i & 1U)] = d[i];
  }
}

// `a` is row-major, `b` is [k][n].
template <class T>
__global__ void by_elements(const T* a, const T* b, float* y) {
  const unsigned group = threadIdx.x >> 2U;
  const unsigned pair = threadIdx.x % 4;
  std::uint32_t ra[4] = {};
  std::uint32_t rb[2] = {};
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
    const unsigned col = pair * 2 + (i & 1U) + (i >= 4 ? 8 : 0);
    ra[i / 2] |= bits_of(a[row * kK + col]) << (i % 2 * 16);
  }
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = pair * 2 + (i & 1U) + (i >= 2 ? 8 : 0);
    rb[i / 2] |= bits_of(b[row * kN + group]) << (i % 2 * 16);
  }
  float d[4] = {1, 1, 1, 1};
  mma<T>(d, ra, rb);
  store(d, y);
}

// Through shared memory: b [k][n] with the transposing load, or its transpose with the plain
// load.
template <class T, bool TransposeB>
__global__ void by_ldmatrix(const T* a, const T* b, float* y) {
  T* sa = shared_memory<T>();
  T* sb = sa + kM * kK;
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < kM * kK; i += 32) sa[i] = a[i];
  for (unsigned i = lane; i < kK * kN; i += 32) {
    sb[TransposeB ? i : i % kN * kK + i / kN] = b[i];
  }
  __syncwarp();
  std::uint32_t ra[4];
  std::uint32_t rb[4];
  ldmatrix4(ra, sa + (lane % 16) * kK + lane / 16 * 8);
  if (TransposeB) {
    ldmatrix4_transposed(rb, sb + (lane % 16) * kN);
  } else {
    ldmatrix4(rb, sb + (lane % 8) * kK + lane / 8 % 2 * 8);
  }
  float d[4] = {1, 1, 1, 1};
  mma<T>(d, ra, {rb[0], rb[1]});
  store(d, y);
}

template <class T>
void check() {
  std::vector<T> a(kM * kK);
  std::vector<T> b(kK * kN);
  std::vector<float> expected(kM * kN, 1.0F);
  for (unsigned i = 0; i < a.size(); ++i) a[i] = T(static_cast<float>(i * 7 % 31) - 15);
  for (unsigned i = 0; i < b.size(); ++i) b[i] = T(static_cast<float>(i * 5 % 23) / 8 - 1);
  for (unsigned m = 0; m < kM; ++m) {
    for (unsigned n = 0; n < kN; ++n) {
      for (unsigned k = 0; k < kK; ++k) {
        expected[m * kN + n] +=
            static_cast<float>(a[m * kK + k]) * static_cast<float>(b[k * kN + n]);
      }
    }
  }
  const Array<T> da(a.size());
  const Array<T> db(b.size());
  const Array<float> y(kM * kN);
  da.set(a);
  db.set(b);
  constexpr std::size_t kShared = (kM * kK + kK * kN) * sizeof(T);
  launch(by_elements<T>, 1, 32, 0, nullptr, da.at, db.at, y.at);
  BOOST_TEST(y.get() == expected);
  launch(by_ldmatrix<T, true>, 1, 32, kShared, nullptr, da.at, db.at, y.at);
  BOOST_TEST(y.get() == expected);
  launch(by_ldmatrix<T, false>, 1, 32, kShared, nullptr, da.at, db.at, y.at);
  BOOST_TEST(y.get() == expected);
}

}  // namespace

BOOST_AUTO_TEST_CASE(matrix_fragments_are_where_ptx_puts_them) {
  check<__nv_bfloat16>();
  check<__half>();
}
