// SPDX-License-Identifier: Apache-2.0
// The machine that computes the golden models: a CPU or a GPU. The test program chooses by what
// it links.
#pragma once

#include <memory>
#include <ostream>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

inline std::ostream& operator<<(std::ostream& out, DType type) { return out << name_of(type); }

}  // namespace trireme

namespace trireme::test {

/// cpu_machine.cpp implements a CPU; test/backend/cuda/golden has a GPU.
struct Machine {
  Machine();
  /// A communicator for the machine's arrays, over the ranks of `host`. Collective.
  [[nodiscard]] std::unique_ptr<Communicator> exchanges(
      std::unique_ptr<Communicator> host) const;

  std::unique_ptr<Device> device;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Kernels> kernels;
  Exec ex;
};

/// The types among fp32 and fp64 that the machine's kernels compute in.
[[nodiscard]] std::vector<DType> machine_types();

/// The elements of a contiguous array on the device, after all queued work is done.
template <class T>
std::vector<T> elements(const Exec& ex, const ConstView& v) {
  TRM_CHECK(v.dtype() == kDTypeOf<T> && v.contiguous(), "elements of {}", v.shape().str());
  std::vector<T> list(static_cast<std::size_t>(v.count()));
  ex.device.copy_to_host(list.data(), v.raw(), v.bytes(), ex.stream);
  ex.stream.synchronize();
  return list;
}
/// The elements of an array of fp32 or fp64, as fp64.
inline std::vector<double> numbers(const Exec& ex, const ConstView& v) {
  if (v.dtype() == DType::f64) return elements<double>(ex, v);
  const std::vector<float> singles = elements<float>(ex, v);
  return {singles.begin(), singles.end()};
}

/// Sets the contiguous array `to` of type T, or of fp64 if T is float.
template <class T>
void assign(const Exec& ex, const std::vector<T>& list, const View& to) {
  if (kDTypeOf<T> == DType::f32 && to.dtype() == DType::f64) {
    return assign(ex, std::vector<double>(list.begin(), list.end()), to);
  }
  TRM_CHECK(to.dtype() == kDTypeOf<T> && to.contiguous() &&
                to.count() == static_cast<std::int64_t>(list.size()),
            "{} elements to {}", list.size(), to.shape().str());
  ex.device.copy_from_host(to.raw(), list.data(), to.bytes(), ex.stream);
  ex.stream.synchronize();
}

}  // namespace trireme::test
