// SPDX-License-Identifier: Apache-2.0
// Parameter updates on flat arrays, in one pass. The usual combinations of types have their own
// kernels. A general kernel looks up each type at run time.
#include <cmath>

#include "../runtime/stream.hpp"
#include "each.cuh"
#include "kernels.hpp"
#include "update.cuh"

namespace trireme::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kSteps = 4;  ///< vectors per thread, one after the other

/// Arrays of types G (gradient), C (copy) and V (all others).
template <class G, class V, class C>
struct Arrays {
  G gradient;
  V value;
  V first;   // AdamW's exp_avg or SGD's momentum
  V second;  // AdamW's exp_avg_sq
  C copy;
  std::int64_t count;
};

struct Adamw {
  float decay, l2, rate, correction, b1, b2;
  float c1, c2;  // 1 − b2 computed in fp32 would be wrong by 1e-5 for b2 = 0.999
  float epsilon;
  double lr;  // for the corrections of a StepState
  double gradient_scale;
  static constexpr bool kSecond = true;
  float scale = 0;

  __device__ __forceinline__ void adopt(const StepState& state) {
    rate = static_cast<float>(lr / state.bias1);
    correction = static_cast<float>(1 / sqrt(state.bias2));
  }
  __device__ __forceinline__ bool keeps_first() const { return true; }
  __device__ __forceinline__ void apply(float gradient, float& value, float& first,
                                        float& second) const {
    const float g = gradient * scale + l2 * value;
    first = b1 * first + c1 * g;
    second = b2 * second + c2 * g * g;
    value = value * decay - rate * first / (sqrtf(second) * correction + epsilon);
  }
};

struct Sgd {
  float lr, momentum, decay;
  float taken;  // the share of the gradient that the momentum takes
  bool nesterov;
  double gradient_scale;
  static constexpr bool kSecond = false;
  float scale = 0;

  __device__ __forceinline__ void adopt(const StepState& state) {
    if (state.updates == 1) taken = 1;
  }
  __device__ __forceinline__ bool keeps_first() const { return momentum != 0; }
  __device__ __forceinline__ void apply(float gradient, float& value, float& first,
                                        float& /*second*/) const {
    const float step = gradient * scale + decay * value;
    first = momentum == 0 ? step : momentum * first + taken * step;
    value -= lr * (nesterov ? step + momentum * first : first);
  }
};

template <int N, class Rule, class A>
__device__ __forceinline__ void update(const Rule& rule, const A& a, std::int64_t at) {
  float gradient[N];
  float value[N];
  float first[N] = {};
  float second[N] = {};
  a.gradient.read(at, gradient);
  a.value.read(at, value);
  if (rule.keeps_first()) a.first.read(at, first);
  if constexpr (Rule::kSecond) a.second.read(at, second);
#pragma unroll
  for (int j = 0; j < N; ++j) rule.apply(gradient[j], value[j], first[j], second[j]);
  a.value.write(at, value);
  if (rule.keeps_first()) a.first.write(at, first);
  if constexpr (Rule::kSecond) a.second.write(at, second);
  if (a.copy.data != nullptr) a.copy.write(at, value);
}

/// Minimum traffic: gradient once, value and moments twice, copy once.
template <int N, class Rule, class A>
__global__ void __launch_bounds__(kThreads)
    update_kernel(Rule rule, A a, const StepState* state) {
  double scale = rule.gradient_scale;
  if (state != nullptr) {
    if (state->updated == 0) return;
    rule.adopt(*state);
    scale *= state->factor;
  }
  rule.scale = static_cast<float>(scale);
  const std::int64_t first =
      static_cast<std::int64_t>(blockIdx.x) * (kThreads * kSteps) + threadIdx.x;
  for (int i = 0; i < kSteps; ++i) {
    const std::int64_t at = (first + i * kThreads) * N;
    if (at + N <= a.count) {
      update<N>(rule, a, at);
    } else {
      for (std::int64_t j = at; j < a.count; ++j) update<1>(rule, a, j);
    }
  }
}

template <int N, class Rule, class A>
void launch_update(cudaStream_t stream, const Rule& rule, const A& a, const StepState* state) {
  constexpr std::int64_t kPerBlock = kThreads * kSteps * N;
  launch(update_kernel<N, Rule, A>,
         dim3(static_cast<unsigned>((a.count + kPerBlock - 1) / kPerBlock)), dim3(kThreads), 0,
         stream, rule, a, state);
}

struct Views {
  ConstView gradient;
  View value;
  View first;
  View second;
  View copy;
};

template <class T>
Array<T> array(const ConstView& v) {
  return {const_cast<T*>(static_cast<const T*>(v.raw()))};
}

/// Runs the kernel for a gradient of type G, a copy (or none) of type C, and all others of type
/// V.
template <class G, class C, class V = float, class Rule>
void fast_update(cudaStream_t stream, const Rule& rule, const Views& v,
                 const StepState* state) {
  constexpr int N = kVector<V>;
  launch_update<N>(stream, rule,
                   Arrays<Array<G>, Array<V>, Array<C>>{array<G>(v.gradient), array<V>(v.value),
                                                        array<V>(v.first), array<V>(v.second),
                                                        array<C>(v.copy), v.value.count()},
                   state);
}

bool all_are(std::initializer_list<ConstView> views, DType type) {
  return std::all_of(views.begin(), views.end(),
                     [&](const ConstView& v) { return v.empty() || v.dtype() == type; });
}

template <class Rule>
void run_update(cudaStream_t stream, const Rule& rule, const Views& v, const ConstView& state) {
  if (v.value.count() == 0) return;
  const auto* const decided =
      state.empty() ? nullptr : reinterpret_cast<const StepState*>(state.data<double>());
  const bool usual = all_are({v.value, v.first, v.second}, DType::f32) &&
                     vectors_fit({v.gradient, v.value, v.first, v.second, v.copy}, 4, true);
  if (usual && v.gradient.dtype() == DType::f32) {
    if (all_are({v.copy}, DType::bf16)) {
      return fast_update<float, bf16>(stream, rule, v, decided);
    }
    if (all_are({v.copy}, DType::f16)) return fast_update<float, f16>(stream, rule, v, decided);
  }
  if (usual && all_are({v.gradient, v.copy}, DType::bf16)) {
    return fast_update<bf16, bf16>(stream, rule, v, decided);
  }
  if (usual && all_are({v.gradient, v.copy}, DType::f16)) {
    return fast_update<f16, f16>(stream, rule, v, decided);
  }
  if (all_are({v.gradient, v.value, v.first, v.second, v.copy}, DType::bf16) &&
      vectors_fit({v.gradient, v.value, v.first, v.second, v.copy}, 8, true)) {
    return fast_update<bf16, bf16, bf16>(stream, rule, v, decided);
  }
  for (const ConstView& part : {v.gradient, ConstView(v.value), ConstView(v.first),
                                ConstView(v.second), ConstView(v.copy)}) {
    if (!part.empty()) with_type(part.dtype(), [](auto) {});  // throws for other types
  }
  launch_update<1>(
      stream, rule,
      Arrays<AnyArray, AnyArray, AnyArray>{any(v.gradient), any(v.value), any(v.first),
                                           any(v.second), any(v.copy), v.value.count()},
      decided);
}

__global__ void decide_kernel(StepRule rule, StepState* state, double* history) {
  if (threadIdx.x == 0) decide(rule, *state, history);
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::Adamw& op) {
  const auto t = static_cast<double>(op.step.step);
  const double bias1 = 1 - std::pow(op.step.beta1, t);
  const double bias2 = 1 - std::pow(op.step.beta2, t);
  Adamw rule{};
  rule.decay = static_cast<float>(op.step.l2 ? 1 : 1 - op.step.lr * op.step.weight_decay);
  rule.l2 = static_cast<float>(op.step.l2 ? op.step.weight_decay : 0);
  rule.rate = static_cast<float>(op.step.lr / bias1);
  rule.correction = static_cast<float>(1 / std::sqrt(bias2));
  rule.b1 = static_cast<float>(op.step.beta1);
  rule.b2 = static_cast<float>(op.step.beta2);
  rule.c1 = static_cast<float>(1 - op.step.beta1);
  rule.c2 = static_cast<float>(1 - op.step.beta2);
  rule.epsilon = static_cast<float>(op.step.epsilon);
  rule.lr = op.step.lr;
  rule.gradient_scale = op.step.gradient_scale;
  run_update(native(s), rule, {op.gradient, op.value, op.exp_avg, op.exp_avg_sq, op.copy},
             op.state);
}

void CudaKernels::run(Stream& s, const ops::Sgd& op) {
  Sgd rule{};
  rule.lr = static_cast<float>(op.step.lr);
  rule.momentum = static_cast<float>(op.step.momentum);
  rule.decay = static_cast<float>(op.step.weight_decay);
  rule.taken =
      static_cast<float>(op.step.step == 1 && op.state.empty() ? 1 : 1 - op.step.dampening);
  rule.nesterov = op.step.nesterov;
  rule.gradient_scale = op.step.gradient_scale;
  run_update(native(s), rule, {op.gradient, op.value, op.momentum, View(), op.copy}, op.state);
}

void CudaKernels::run(Stream& s, const ops::DecideStep& op) {
  launch(decide_kernel, dim3(1), dim3(32), 0, native(s), op.rule,
         reinterpret_cast<StepState*>(op.state.data<double>()),
         op.history.empty() ? nullptr : op.history.data<double>());
}

}  // namespace trireme::cuda
