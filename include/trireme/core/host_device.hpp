// SPDX-License-Identifier: Apache-2.0
// Marks formulas that both backends call. A host compiler and nvcc both compile them.
#pragma once

#ifdef __CUDACC__
#define TRM_HOST_DEVICE __host__ __device__
#else
#define TRM_HOST_DEVICE
#endif
