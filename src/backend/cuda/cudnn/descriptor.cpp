// SPDX-License-Identifier: Apache-2.0
// Arrays of cuDNN's descriptors, and explanations of its return codes.
#include "descriptor.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

namespace trireme::cuda {

std::string last_explanation() {
  std::array<char, 4096> text{};
  cudnnGetLastErrorString(text.data(), text.size());
  std::string_view line = text.data();
  constexpr std::string_view kReason = "Reason: ";
  if (const auto at = line.find(kReason); at != std::string_view::npos) {
    line.remove_prefix(at + kReason.size());
  }
  return std::string(line.substr(0, line.find('\n')));
}

void throw_cudnn(cudnnStatus_t code, const char* call, std::source_location where) {
  const std::string explanation = last_explanation();
  throw Error(fmt::format("{} failed: {} ({})", call, cudnnGetErrorString(code), explanation),
              where);
}

namespace {

std::vector<cudnnBackendDescriptor_t> handles_of(const std::vector<Descriptor>& descriptors) {
  std::vector<cudnnBackendDescriptor_t> result;
  std::transform(descriptors.begin(), descriptors.end(), std::back_inserter(result),
                 [](const Descriptor& d) { return d.raw(); });
  return result;
}

}  // namespace

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name,
                            const std::vector<Descriptor>& values) {
  const std::vector<cudnnBackendDescriptor_t> all = handles_of(values);
  TRM_CUDNN(cudnnBackendSetAttribute(raw_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                     static_cast<std::int64_t>(all.size()), all.data()));
  return *this;
}

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name,
                                                    cudnnBackendDescriptorType_t type,
                                                    std::size_t most) const {
  std::vector<Descriptor> values;
  while (values.size() < most) values.emplace_back(type);
  std::vector<cudnnBackendDescriptor_t> all = handles_of(values);
  std::int64_t count = 0;
  TRM_CUDNN(cudnnBackendGetAttribute(raw_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                     static_cast<std::int64_t>(most), &count, all.data()));
  while (values.size() > static_cast<std::size_t>(count)) values.pop_back();
  return values;
}

}  // namespace trireme::cuda
