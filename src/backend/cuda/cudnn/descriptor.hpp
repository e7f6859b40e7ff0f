// SPDX-License-Identifier: Apache-2.0
// cuDNN's return codes and descriptors. Attributes take effect at finalize(); other descriptors
// may refer to a descriptor only after that call.
#pragma once

#include <algorithm>
#include <cudnn.h>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trireme/core/error.hpp"

namespace trireme::cuda {

/// Returns the innermost reason of cuDNN's last error in this thread; "" if there is none.
[[nodiscard]] std::string last_explanation();

/// Throws Error with the call, the code's name and cuDNN's own explanation.
[[noreturn]] void throw_cudnn(cudnnStatus_t code, const char* call, std::source_location where);

#define TRM_CUDNN(call)                                                                 \
  do {                                                                                  \
    if (const cudnnStatus_t trm_code = (call); trm_code != CUDNN_STATUS_SUCCESS)        \
      ::trireme::cuda::throw_cudnn(trm_code, #call, ::std::source_location::current()); \
  } while (false)

/// Other types have no attribute type: their calls don't compile.
template <class T>
inline constexpr auto kAttributeType = nullptr;
template <>
inline constexpr auto kAttributeType<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr auto kAttributeType<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr auto kAttributeType<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr auto kAttributeType<std::int64_t> = CUDNN_TYPE_INT64;
template <>
inline constexpr auto kAttributeType<void*> = CUDNN_TYPE_VOID_PTR;
template <>
inline constexpr auto kAttributeType<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr auto kAttributeType<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr auto kAttributeType<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr auto kAttributeType<cudnnPointwiseMode_t> = CUDNN_TYPE_POINTWISE_MODE;
template <>
inline constexpr auto kAttributeType<cudnnReduceTensorOp_t> =
    CUDNN_TYPE_REDUCTION_OPERATOR_TYPE;

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    TRM_CUDNN(cudnnBackendCreateDescriptor(type, &raw_));
  }
  ~Descriptor() {
    if (raw_ != nullptr) static_cast<void>(cudnnBackendDestroyDescriptor(raw_));
  }
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    TRM_CUDNN(cudnnBackendSetAttribute(raw_, name, kAttributeType<T>,
                                       static_cast<std::int64_t>(values.size()),
                                       values.data()));
    return *this;
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const T& value) {
    return set(name, std::span<const T>(&value, 1));
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    TRM_CUDNN(
        cudnnBackendSetAttribute(raw_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.raw_));
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& values);
  Descriptor& finalize() {
    TRM_CUDNN(cudnnBackendFinalize(raw_));
    return *this;
  }

  template <class T>
  [[nodiscard]] T get(cudnnBackendAttributeName_t name) const {
    T value{};
    std::int64_t count = 0;
    TRM_CUDNN(cudnnBackendGetAttribute(raw_, name, kAttributeType<T>, 1, &count, &value));
    return value;
  }
  /// Returns at most `most` values.
  template <class T>
  [[nodiscard]] std::vector<T> get_all(cudnnBackendAttributeName_t name,
                                       std::size_t most) const {
    std::vector<T> values(most);
    std::int64_t count = 0;
    TRM_CUDNN(cudnnBackendGetAttribute(raw_, name, kAttributeType<T>,
                                       static_cast<std::int64_t>(most), &count, values.data()));
    values.resize(std::min(most, static_cast<std::size_t>(count)));
    return values;
  }
  /// Returns at most `most` descriptors of one type.
  [[nodiscard]] std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name,
                                                        cudnnBackendDescriptorType_t type,
                                                        std::size_t most) const;

  [[nodiscard]] cudnnBackendDescriptor_t raw() const { return raw_; }

 private:
  cudnnBackendDescriptor_t raw_ = nullptr;
};

}  // namespace trireme::cuda
