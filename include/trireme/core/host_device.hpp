// SPDX-License-Identifier: Apache-2.0
// Formulas that both backends call: to be compiled for the host and, by nvcc, for the GPU.
#pragma once

#ifdef __CUDACC__
#define TRM_HOST_DEVICE __host__ __device__
#else
#define TRM_HOST_DEVICE
#endif
