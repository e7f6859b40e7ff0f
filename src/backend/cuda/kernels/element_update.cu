// SPDX-License-Identifier: Apache-2.0
// Updates by rules that treat each element by itself.
#include "trireme/ops/element_rules.hpp"

#include "../runtime/stream.hpp"
#include "elements.cuh"
#include "kernels.hpp"

namespace trireme::cuda {

namespace {

struct ElementJob {
  ElementStep step;
  AnyArray gradient, value, first, second, third, copy;
  __device__ void operator()(std::int64_t i, const StepState* state) const {
    const double factor = step.gradient_scale * (state != nullptr ? state->factor : 1);
    const double t = state != nullptr ? state->updates : static_cast<double>(step.step);
    const int states = states_of(step);
    const float g = get(gradient, i) * static_cast<float>(factor);
    float now = get(value, i);
    float a = get(first, i);
    float b = states > 1 ? get(second, i) : 0;
    float c = states > 2 ? get(third, i) : 0;
    with_rule<float>(step, t, [&](const auto& rule) { rule.apply(g, now, a, b, c); });
    put(value, i, now);
    put(first, i, a);
    if (states > 1) put(second, i, b);
    if (states > 2) put(third, i, c);
    put(copy, i, now);
  }
};

}  // namespace

void CudaKernels::run(Stream& s, const ops::ElementUpdate& op) {
  each_element(native(s), op.value.count(), decided(op.state),
               ElementJob{op.step, any(op.gradient), any(op.value), any(op.first),
                          any(op.second), any(op.third), any(op.copy)});
}

}  // namespace trireme::cuda
