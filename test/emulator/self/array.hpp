// SPDX-License-Identifier: Apache-2.0
// An array on the emulated device.
#pragma once

#include <cstddef>
#include <cuda_runtime.h>
#include <vector>

#include <boost/test/unit_test.hpp>

template <class T>
struct Array {
  explicit Array(std::size_t count) : size(count) {
    BOOST_REQUIRE_EQUAL(cudaMalloc(reinterpret_cast<void**>(&at), count * sizeof(T)),
                        cudaSuccess);
  }
  ~Array() { cudaFree(at); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  void set(const std::vector<T>& values) const {
    cudaMemcpy(at, values.data(), size * sizeof(T), cudaMemcpyHostToDevice);
  }
  [[nodiscard]] std::vector<T> get() const {
    std::vector<T> values(size);
    cudaMemcpy(values.data(), at, size * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
  }
  std::size_t size;
  T* at = nullptr;
};
