// SPDX-License-Identifier: Apache-2.0
// A unit with an auxiliary loss: the mean square of its output.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "trireme/model/module.hpp"

#include "tiny_model.hpp"

namespace trireme::test {

/// The mean of squares of an fp64 or fp32 array.
inline double mean_square(const ConstView& y) {
  double sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(y.count()); ++i) {
    sum += get(y, i) * get(y, i);
  }
  return sum / static_cast<double>(y.count());
}

/// Does what `inner` does, on a CPU, and adds a term: mean_square() of the output.
class PenalizedUnit : public Module {
 public:
  PenalizedUnit(std::unique_ptr<Module> inner, double coefficient)
      : inner_(std::move(inner)), coefficient_(coefficient) {}
  [[nodiscard]] std::string name() const override { return inner_->name(); }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override {
    Tensor y = inner_->forward(ex, x, tape);
    tape.put(y);
    if (const View sum = tape.auxiliary_sum(); !sum.empty()) {
      *sum.data<double>() += coefficient_ *
                             static_cast<double>(tape.micro_batch().target_count()) *
                             mean_square(y);
    }
    return y;
  }
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override {
    const Tensor y = tape.take();
    const MicroBatch& mb = tape.micro_batch();
    const double scale = mb.loss_scale.empty() ? 1 : *mb.loss_scale.data<double>();
    const double factor =
        coefficient_ * mb.auxiliary_weight() * scale * 2 / static_cast<double>(y.count());
    Tensor d = ex.make(dy.dtype(), dy.shape());
    for (std::size_t i = 0; i < static_cast<std::size_t>(d.count()); ++i) {
      set(d, i, get(dy, i) + factor * get(y, i));
    }
    return inner_->backward(ex, d, tape);
  }
  void visit(const ParameterVisitor& f) override { inner_->visit(f); }

 private:
  std::unique_ptr<Module> inner_;
  double coefficient_;
};

/// Replaces the unit `name` where `part` has it.
inline void penalize(ModelPart& part, const std::string& name, double coefficient) {
  for (auto& unit : part.units()) {
    if (unit->name() != name) continue;
    unit = std::make_unique<PenalizedUnit>(std::move(unit), coefficient);
  }
}

}  // namespace trireme::test
