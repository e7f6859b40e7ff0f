// SPDX-License-Identifier: Apache-2.0
// Binds parameters during uses of their unit alone, like ZeRO stage 3.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "trireme/model/transformer.hpp"

namespace trireme::test {

/// Unbinds all parameters. Each use of a unit binds values, and gradients if the use may add
/// some, in fresh memory. This memory is NaN after the use: code that reads a window outside of
/// a use fails or spoils the result. The destructor binds the first windows again.
class UnitBinding : public UnitObserver {
 public:
  UnitBinding(const Exec& ex, const std::vector<Parameter*>& parameters) : ex_(ex) {
    for (Parameter* p : parameters) {
      homes_[p] = {p->value, p->grad};
      unbind(*p);
    }
  }
  UnitBinding(const UnitBinding&) = delete;
  UnitBinding& operator=(const UnitBinding&) = delete;
  ~UnitBinding() override {
    for (const auto& [p, home] : homes_) {
      p->value = home.value;
      p->grad = home.grad;
    }
  }

  void before(const UnitUse& use, Module& unit) override {
    const bool adds =
        use.pass == UnitUse::Pass::backward ||
        (use.pass == UnitUse::Pass::forward && use.training && unit.gradient_in_forward());
    unit.visit([&](Parameter& p) {
      p.value = fresh_copy(homes_.at(&p).value);
      if (adds) p.grad = fresh_copy(homes_.at(&p).grad);
    });
  }
  void after(const UnitUse& /*use*/, Module& unit) override {
    unit.visit([&](Parameter& p) {
      if (p.grad.raw() != nullptr) {
        std::memcpy(homes_.at(&p).grad.raw(), p.grad.raw(), p.grad.bytes());
        spoil(p.grad);
      }
      spoil(p.value);
      unbind(p);
    });
  }

 private:
  struct Windows {
    View value;
    View grad;
  };
  static void unbind(Parameter& p) {
    p.value = {};
    p.grad = {};
  }
  static void spoil(const View& v) { std::memset(v.raw(), 0xff, v.bytes()); }
  View fresh_copy(const View& from) {
    memory_.push_back(ex_.make(from.dtype(), from.shape()));  // no memory is used twice
    std::memcpy(memory_.back().view().raw(), from.raw(), from.bytes());
    return memory_.back();
  }

  const Exec& ex_;
  std::map<Parameter*, Windows> homes_;
  std::deque<Tensor> memory_;
};

}  // namespace trireme::test
