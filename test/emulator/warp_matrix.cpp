// SPDX-License-Identifier: Apache-2.0
// Fragments with group = lane / 4 and pair = lane % 4. See "Warp-level matrix load instruction:
// ldmatrix" and "Matrix Fragments for mma.m16n8k16 with floating point type" in the PTX ISA.
#include "warp_matrix.hpp"

#include <bit>
#include <cstring>

#include "block.hpp"

namespace trireme::emulator {
namespace {

struct LoadLane {
  std::uint32_t* r;
  const unsigned char* row;
};

struct ProductLane {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

std::uint32_t element(const LoadLane* const* lanes, int matrix, int row, int column) {
  std::uint16_t value = 0;
  std::memcpy(&value, lanes[8 * matrix + row]->row + 2 * column, 2);
  return value;
}

template <bool Transposed>
void load(void* const* raw) {
  const LoadLane* lanes[kWarp];
  for (int i = 0; i < kWarp; ++i) lanes[i] = static_cast<const LoadLane*>(raw[i]);
  for (int lane = 0; lane < kWarp; ++lane) {
    const int row = lane / 4;
    const int column = lane % 4 * 2;
    for (int m = 0; m < 4; ++m) {
      const std::uint32_t low =
          Transposed ? element(lanes, m, column, row) : element(lanes, m, row, column);
      const std::uint32_t high =
          Transposed ? element(lanes, m, column + 1, row) : element(lanes, m, row, column + 1);
      lanes[lane]->r[m] = low | (high << 16U);
    }
  }
}

struct Bf16 {
  static float value(std::uint32_t bits) { return std::bit_cast<float>(bits << 16U); }
};
struct F16 {
  static float value(std::uint32_t bits) {
    return static_cast<float>(std::bit_cast<_Float16>(static_cast<std::uint16_t>(bits)));
  }
};

// Splits a register into its two elements.
template <class Half>
void unpack(std::uint32_t r, float* first, float* second) {
  *first = Half::value(r & 0xffffU);
  *second = Half::value(r >> 16U);
}

template <class Half>
void product(void* const* raw) {
  float a[16][16];  // [row][k]
  float b[16][8];   // [k][column]
  float d[16][8] = {};
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& mine = *static_cast<const ProductLane*>(raw[lane]);
    const int group = lane / 4;
    const int k = lane % 4 * 2;
    unpack<Half>(mine.a[0], &a[group][k], &a[group][k + 1]);
    unpack<Half>(mine.a[1], &a[group + 8][k], &a[group + 8][k + 1]);
    unpack<Half>(mine.a[2], &a[group][k + 8], &a[group][k + 9]);
    unpack<Half>(mine.a[3], &a[group + 8][k + 8], &a[group + 8][k + 9]);
    unpack<Half>(mine.b[0], &b[k][group], &b[k + 1][group]);
    unpack<Half>(mine.b[1], &b[k + 8][group], &b[k + 9][group]);
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& mine = *static_cast<const ProductLane*>(raw[lane]);
    const int group = lane / 4;
    const int column = lane % 4 * 2;
    mine.d[0] += d[group][column];
    mine.d[1] += d[group][column + 1];
    mine.d[2] += d[group + 8][column];
    mine.d[3] += d[group + 8][column + 1];
  }
}

}  // namespace

void load_matrices(std::uint32_t (&r)[4], const void* row, bool transposed, Site site) {
  check_aligned16(row, "ldmatrix's address", site);
  LoadLane mine{r, static_cast<const unsigned char*>(row)};
  warp_collective(transposed ? "ldmatrix4_transposed" : "ldmatrix4", 0xffffffffU, &mine,
                  transposed ? load<true> : load<false>, site);
}

void multiply_matrices(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                       bool bf16, Site site) {
  ProductLane mine{d, a, b};
  warp_collective("mma", 0xffffffffU, &mine, bf16 ? product<Bf16> : product<F16>, site);
}

}  // namespace trireme::emulator
