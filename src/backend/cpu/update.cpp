// SPDX-License-Identifier: Apache-2.0
// Parameter updates, one piece of each array at a time.
#include "update.hpp"

#include <cmath>

#include "trireme/ops/element_rules.hpp"

#include "adamw.hpp"
#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

void CpuKernels::run(Stream&, const ops::Adamw& op) {
  const StepState* decided = decision(op.state);
  if (decided != nullptr && decided->updated == 0) return;
  AdamwStep step = op.step;
  if (decided != nullptr) step.gradient_scale *= decided->factor;
  const auto t = static_cast<double>(step.step);
  const double bias1 = decided != nullptr ? decided->bias1 : 1 - std::pow(step.beta1, t);
  const double bias2 = decided != nullptr ? decided->bias2 : 1 - std::pow(step.beta2, t);
  by_type(op.value.dtype(), [&]<class T>(T) {
    by_pieces(flat(op.value), [&, adamw = Adamw<T>(step, bias1, bias2)] {
      return [&, grad = Source<T>(flat(op.gradient)), theta = Target<T>(flat(op.value)),
              first = Target<T>(flat(op.exp_avg)), second = Target<T>(flat(op.exp_avg_sq)),
              copied = flat(op.copy)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        T* now = theta.loaded(r, c, n).data();
        adamw.apply(n, grad.row(r, c, n).data(), now, first.loaded(r, c, n).data(),
                    second.loaded(r, c, n).data());
        if (!copied.empty()) copy_out(now, copied, r, c, n);
        theta.store();
        first.store();
        second.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::Sgd& op) {
  const StepState* decided = decision(op.state);
  if (decided != nullptr && decided->updated == 0) return;
  SgdStep step = op.step;
  if (decided != nullptr) step.gradient_scale *= decided->factor;
  by_type(op.value.dtype(), [&]<class T>(T) {
    const T lr = static_cast<T>(step.lr);
    const T mu = static_cast<T>(step.momentum);
    const T decay = static_cast<T>(step.weight_decay);
    const T scale = static_cast<T>(step.gradient_scale);
    const double t = decided != nullptr ? decided->updates : static_cast<double>(step.step);
    const T taken = static_cast<T>(t == 1 ? 1 : 1 - step.dampening);
    by_pieces(flat(op.value), [&] {
      return [&, grad = Source<T>(flat(op.gradient)), theta = Target<T>(flat(op.value)),
              speed = Target<T>(flat(op.momentum)), whole = Scratch<T>(),
              copied = flat(op.copy)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        const ConstRow<T> g = grad.row(r, c, n);
        Row<T> now = theta.loaded(r, c, n);
        if (step.momentum == 0) {
          now -= lr * (g * scale + decay * now);
        } else {
          Row<T> b = speed.loaded(r, c, n);
          if (step.nesterov) {
            Row<T> full(whole.take(n), n);
            full = g * scale + decay * now;
            b = mu * b + taken * full;
            now -= lr * (full + mu * b);
          } else {
            b = mu * b + taken * (g * scale + decay * now);
            now -= lr * b;
          }
          speed.store();
        }
        if (!copied.empty()) copy_out(now.data(), copied, r, c, n);
        theta.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::ElementUpdate& op) {
  const StepState* decided = decision(op.state);
  if (decided != nullptr && decided->updated == 0) return;
  ElementStep step = op.step;
  if (decided != nullptr) step.gradient_scale *= decided->factor;
  const double t = decided != nullptr ? decided->updates : static_cast<double>(step.step);
  const int states = states_of(step);
  by_type(op.value.dtype(), [&]<class T>(T) {
    const T scale = static_cast<T>(step.gradient_scale);
    with_rule<T>(step, t, [&](const auto& rule) {
      by_pieces(flat(op.value), [&] {
        return [&, grad = Source<T>(flat(op.gradient)), theta = Target<T>(flat(op.value)),
                first = Target<T>(flat(op.first)), second = Target<T>(flat(op.second)),
                third = Target<T>(flat(op.third)), copied = flat(op.copy)](
                   std::int64_t r, std::int64_t c, std::int64_t n) mutable {
          const T* g = grad.row(r, c, n).data();
          T* now = theta.loaded(r, c, n).data();
          T* a = first.loaded(r, c, n).data();
          T* b = states > 1 ? second.loaded(r, c, n).data() : nullptr;
          T* d = states > 2 ? third.loaded(r, c, n).data() : nullptr;
          for (std::int64_t i = 0; i < n; ++i) {
            T none{};
            rule.apply(g[i] * scale, now[i], a[i], b != nullptr ? b[i] : none,
                       d != nullptr ? d[i] : none);
          }
          if (!copied.empty()) copy_out(now, copied, r, c, n);
          theta.store();
          first.store();
          if (states > 1) second.store();
          if (states > 2) third.store();
        };
      });
    });
  });
}

void CpuKernels::run(Stream&, const ops::DecideStep& op) {
  decide(op.rule, *reinterpret_cast<StepState*>(op.state.data<double>()),
         op.history.empty() ? nullptr : op.history.data<double>());
}

}  // namespace trireme::cpu
