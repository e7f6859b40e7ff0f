// SPDX-License-Identifier: Apache-2.0
// Defines cuDNN's functions for the linker. Each forwards its call to the library, which is
// loaded at the first call. Other libraries don't see these definitions.
#include "../runtime/library.hpp"

#include <cudnn.h>

#include "trireme/core/error.hpp"

namespace {

const trireme::cuda::Library& library() {
  static const trireme::cuda::Library found(fmt::format("libcudnn.so.{}", CUDNN_MAJOR),
                                            TRIREME_CUDNN_LIBRARIES);
  return found;
}

template <auto Function>
decltype(Function) real(const char* name) {
  return trireme::cuda::find<Function>(library(), name);
}

}  // namespace

size_t cudnnGetVersion() { return real<&cudnnGetVersion>("cudnnGetVersion")(); }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  return real<&cudnnGetErrorString>("cudnnGetErrorString")(status);
}

void cudnnGetLastErrorString(char* message, size_t size) {
  real<&cudnnGetLastErrorString>("cudnnGetLastErrorString")(message, size);
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return real<&cudnnCreate>("cudnnCreate")(handle);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  return real<&cudnnDestroy>("cudnnDestroy")(handle);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return real<&cudnnSetStream>("cudnnSetStream")(handle, stream);
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  return real<&cudnnBackendCreateDescriptor>("cudnnBackendCreateDescriptor")(type, descriptor);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  return real<&cudnnBackendDestroyDescriptor>("cudnnBackendDestroyDescriptor")(descriptor);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return real<&cudnnBackendFinalize>("cudnnBackendFinalize")(descriptor);
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void* values) {
  return real<&cudnnBackendSetAttribute>("cudnnBackendSetAttribute")(descriptor, name, type,
                                                                     count, values);
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t wanted,
                                       int64_t* count, void* values) {
  return real<&cudnnBackendGetAttribute>("cudnnBackendGetAttribute")(descriptor, name, type,
                                                                     wanted, count, values);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t arrays) {
  return real<&cudnnBackendExecute>("cudnnBackendExecute")(handle, plan, arrays);
}
