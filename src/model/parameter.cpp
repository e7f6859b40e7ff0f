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
  if (ex.device.kind() == DeviceKind::dry) return;
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

Cut cut(std::int64_t total, int part, int parts) {
  const std::int64_t begin = total * part / parts;
  return {begin, total * (part + 1) / parts - begin};
}

Cut cut_vocabulary(std::int64_t vocab_size, int part, int parts) {
  constexpr std::int64_t kBlock = 8;  // what matrix units like
  const std::int64_t blocks = (vocab_size + kBlock - 1) / kBlock;
  if (blocks < parts) return cut(vocab_size, part, parts);
  const Cut c = cut(blocks, part, parts);
  const std::int64_t begin = c.offset * kBlock;
  return {begin, std::min(vocab_size, begin + c.extent * kBlock) - begin};
}

}  // namespace trireme
