// SPDX-License-Identifier: Apache-2.0
// Binding parameters to flat memory, and filling it.
#include "trireme/model/parameter.hpp"

#include <algorithm>
#include <vector>

#include "trireme/model/init.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kAlign = 16;

}  // namespace

ParameterStore::ParameterStore(const Exec& ex, DType dtype,
                               const std::vector<Parameter*>& parameters) {
  std::int64_t total = 0;
  for (Parameter* p : parameters) {
    if (std::ranges::find(parameters_, p) != parameters_.end()) continue;
    parameters_.push_back(p);
    offsets_.push_back(total);
    total += (p->box.count() + kAlign - 1) / kAlign * kAlign;
  }
  values_ = ex.zeros(dtype, Shape{total});
  gradients_ = ex.zeros(dtype, Shape{total});
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = *parameters_[i];
    const auto window = [&](const Tensor& flat) {
      return flat.view()
          .reshape(Shape{total, 1})
          .slice_rows(offsets_[i], p.box.count())
          .reshape(p.box.extent);
    };
    p.value = window(values_);
    p.grad = window(gradients_);
  }
}

void ParameterStore::initialize(const Exec& ex, const ModelConfig& config, std::uint64_t seed) {
  for (const Parameter* p : parameters_) {
    const InitRule rule = init_rule(config, p->init);
    if (ex.device.kind() == DeviceKind::cpu) {
      fill_initial(p->value, p->box, p->global_shape, p->name, rule, seed);
      continue;
    }
    std::vector<std::byte> host(p->value.bytes());
    fill_initial(View(host.data(), p->value.dtype(), p->value.shape()), p->box, p->global_shape,
                 p->name, rule, seed);
    ex.device.copy_from_host(p->value.raw(), host.data(), host.size(), ex.stream);
    ex.stream.synchronize();
  }
}

void ParameterStore::zero_gradients(const Exec& ex) {
  const View all = gradients();
  ex.device.zero(all.raw(), all.bytes(), ex.stream);
}

Cut cut(std::int64_t total, int part, int parts, std::int64_t align) {
  std::int64_t each = (total + parts - 1) / parts;
  const std::int64_t aligned = (each + align - 1) / align * align;
  if (total % parts != 0 && aligned * (parts - 1) < total) each = aligned;
  const std::int64_t begin = std::min(total, each * part);
  return {begin, std::min(total, begin + each) - begin};
}

}  // namespace trireme
