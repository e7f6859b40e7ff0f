// SPDX-License-Identifier: Apache-2.0
// The moving average, block by block.
#include "trireme/optim/average.hpp"

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/tensor_update.hpp"

namespace trireme {

WeightAverage::WeightAverage(const Exec& ex, double decay, const ZeroConfig& zero,
                             const FlatLayout& layout, const Mesh& mesh,
                             ParameterValues& values)
    : ex_(ex),
      decay_(decay),
      layout_(layout),
      mesh_(mesh),
      values_(values),
      whole_(layout.ranks() == 1 || zero.stage == 0) {
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    const FlatGroup& g = layout.groups()[i];
    const DType type = values.masters(i).data.dtype();
    arrays_.push_back(g.trains ? FlatArray::zeros(ex, type, g, whole_, layout.ranks())
                               : FlatArray{});
  }
  restart();
}

template <class F>
void WeightAverage::each(F&& f) const {
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    if (!arrays_[i].data.defined()) continue;
    for (const FlatSlice& s :
         whole_ ? layout_.whole_slices(i) : layout_.slices(i, mesh_.at.dp)) {
      f(values_.masters(i).part(s), arrays_[i].part(s));
    }
  }
}

void WeightAverage::restart() const {
  each([&](const View& value, const View& average) { ops::copy(ex_, value, average); });
}

void WeightAverage::update(const ConstView& state) const {
  each([&](const View& value, const View& average) {
    ops::apply_direction(ex_, {.rate = decay_ - 1,
                               .decay = 1 - decay_,
                               .direction = value,
                               .value = average,
                               .state = state});
  });
}

void WeightAverage::swap() const {
  each([&](const View& value, const View& average) {
    const Tensor kept = ex_.make(value.dtype(), value.shape());
    ops::copy(ex_, value, kept);
    ops::copy(ex_, average, value);
    ops::copy(ex_, kept, average);
  });
  values_.take_masters();
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    gather_blocks(*mesh_.dp, layout_, i, values_.values(i));
  }
}

std::size_t WeightAverage::bytes() const {
  std::size_t n = 0;
  for (const FlatArray& a : arrays_) n += a.bytes();
  return n;
}

}  // namespace trireme
