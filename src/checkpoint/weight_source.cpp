// SPDX-License-Identifier: Apache-2.0
// Which of a source's tensors holds a parameter.
#include "trireme/checkpoint/weight_source.hpp"

namespace trireme {

std::string most_precise(const WeightSource& source, const std::string& parameter) {
  std::string model = "model/" + parameter;
  std::string master = "optimizer/master/" + parameter;
  const bool half = source.has(model) && size_of(source.dtype(model)) < sizeof(float);
  return half && source.has(master) ? master : model;
}

}  // namespace trireme
