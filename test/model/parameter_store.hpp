// SPDX-License-Identifier: Apache-2.0
// Memory for the parameters of a model without ZeRO and without updates.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "trireme/model/transformer.hpp"

namespace trireme::test {

/// The parameters of `parts`, each once, in order.
inline std::vector<Parameter*> list_parameters(
    const std::vector<std::unique_ptr<ModelPart>>& parts) {
  std::vector<Parameter*> list;
  for (const auto& part : parts) {
    part->visit([&](Parameter& p) {
      if (std::ranges::find(list, &p) == list.end()) list.push_back(&p);
    });
  }
  return list;
}

/// Allocates and binds values and gradients, of one type, zeros at first.
class ParameterStore {
 public:
  /// `parameters`, each once, must outlive the store.
  ParameterStore(const Exec& ex, DType dtype, const std::vector<Parameter*>& parameters) {
    for (Parameter* p : parameters) {
      parameters_.push_back(p);
      values_.push_back(ex.zeros(dtype, p->box.extent));
      gradients_.push_back(ex.zeros(dtype, p->box.extent));
      p->value = values_.back();
      p->grad = gradients_.back();
    }
  }
  void zero_gradients(const Exec& ex) const {
    for (const View g : gradients_) ex.device.zero(g.raw(), g.bytes(), ex.stream);
  }
  [[nodiscard]] const std::vector<Parameter*>& parameters() const { return parameters_; }

 private:
  std::vector<Parameter*> parameters_;
  std::vector<Tensor> values_;
  std::vector<Tensor> gradients_;
};

}  // namespace trireme::test
