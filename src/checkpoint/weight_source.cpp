// SPDX-License-Identifier: Apache-2.0
// Which of a source's tensors holds a parameter, and in which type the tensor is read.
#include "trireme/checkpoint/weight_source.hpp"

#include <cmath>
#include <cstddef>

#include "trireme/core/convert.hpp"
#include "trireme/core/error.hpp"

namespace trireme {

void require_f16(const std::string& name, std::span<const float> values) {
  for (const float x : values) {
    TRM_REQUIRE(std::abs(x) < 65520.0F || !std::isfinite(x),
                "{}: the value {} does not fit float16: use bfloat16 or float32", name, x);
  }
}

void read_as(WeightSource& source, const std::string& name, const Box& box, const View& to) {
  const DType type = source.dtype(name);
  if (type == to.dtype()) {
    source.read(name, box, to);
    return;
  }
  TRM_CHECK(to.contiguous() && to.count() == box.count(), "{}: {} for {}", name,
            to.shape().str(), box.extent.str());
  std::vector<std::byte> stored(static_cast<std::size_t>(box.count()) * size_of(type));
  source.read(name, box, View(stored.data(), type, box.extent));
  std::vector<float> wide(static_cast<std::size_t>(box.count()));
  widen(type, stored.data(), wide.data(), box.count());
  if (to.dtype() == DType::f16) require_f16(name, wide);
  narrow(wide.data(), to.dtype(), to.raw(), box.count());
}

std::string most_precise(const WeightSource& source, const std::string& parameter) {
  std::string model = "model/" + parameter;
  std::string master = "optimizer/master/" + parameter;
  const bool half = source.has(model) && size_of(source.dtype(model)) < sizeof(float);
  return half && source.has(master) ? master : model;
}

}  // namespace trireme
