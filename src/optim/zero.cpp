// SPDX-License-Identifier: Apache-2.0
// The order of gathers and reductions around a use of a unit.
#include "trireme/optim/zero.hpp"

namespace trireme {

void ZeroObserver::begin(const std::vector<UnitUse>& uses) {
  std::vector<UnitPlace> places;
  places.reserve(uses.size());
  for (const UnitUse& use : uses) places.push_back(use.place());
  values_.begin(std::move(places));
}

void ZeroObserver::before(const UnitUse& use, Module& unit) {
  const auto scope = clock_.scope(Phase::reduce);
  values_.before(use.place());
  if (adds_gradients(use, unit)) gradients_.before(use.place());
}

void ZeroObserver::after(const UnitUse& use, Module& /*unit*/) {
  if (use.pass == UnitUse::Pass::backward) {
    const auto scope = clock_.scope(Phase::reduce);
    gradients_.after_backward(use.place());
  }
  values_.after(use.place());
}

void ZeroObserver::progress() {
  const auto scope = clock_.scope(Phase::reduce);
  gradients_.progress();
}

}  // namespace trireme
