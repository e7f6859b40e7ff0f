// SPDX-License-Identifier: Apache-2.0
// A warp's ldmatrix.x4 and mma.m16n8k16.
#pragma once

#include <cstdint>

#include "site.hpp"

namespace trireme::emulator {

void load_matrices(std::uint32_t (&r)[4], const void* row, bool transposed, Site site);
/// `bf16` selects bf16 factors, else f16.
void multiply_matrices(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                       bool bf16, Site site);

}  // namespace trireme::emulator
