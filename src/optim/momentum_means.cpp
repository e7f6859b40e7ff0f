// SPDX-License-Identifier: Apache-2.0
// Momenta of all ranks of dp, averaged by signs.
#include "momentum_means.hpp"

#include "trireme/ops/step_state.hpp"
#include "trireme/ops/tensor_update.hpp"

namespace trireme {

namespace {

/// Elements without variance get no momentum.
template <class T>
void keep_still(const View& momentum, const ConstView& variance) {
  T* const m = momentum.data<T>();
  const T* const v = variance.data<T>();
  for (std::int64_t i = 0; i < momentum.count(); ++i) m[i] = v[i] == T{0} ? T{0} : m[i];
}

}  // namespace

bool updates_here(const Exec& ex, const ConstView& decision) {
  return ex.device.kind() != DeviceKind::dry &&
         static_cast<const StepState*>(decision.raw())->updated != 0;
}

MomentumMeans::MomentumMeans(const TensorUpdateParts& parts) : parts_(parts) {
  if (parts_.mesh.shape.dp == 1) return;  // one rank compresses nothing
  for (std::size_t i = 0; i < parts_.tensors.size();) {
    const std::size_t group = parts_.tensors[i].group;
    std::vector<std::int64_t> counts;
    for (; i < parts_.tensors.size() && parts_.tensors[i].group == group; ++i) {
      counts.push_back(whole(parts_.tensors[i]).count);
    }
    means_.emplace_back(parts_.ex, *parts_.mesh.dp, std::move(counts), parts_.types.moments);
  }
}

template <class F>
void MomentumMeans::each_mean(F&& f) const {
  std::size_t first = 0;
  for (const CompressedMean& mean : means_) {
    std::size_t end = first + 1;
    const auto& all = parts_.tensors;
    while (end < all.size() && all[end].group == all[first].group) ++end;
    f(mean, std::span(all).subspan(first, end - first));
    first = end;
  }
}

void MomentumMeans::average(const ConstView& decision) const {
  for (const UpdatedTensor& t : parts_.tensors) {
    ops::adam_moments(parts_.ex, {.beta1 = parts_.config.beta1,
                                  .beta2 = 1,
                                  .gradient = parts_.gradient(t, whole(t)),
                                  .exp_avg = momentum(t),
                                  .exp_avg_sq = variance(t),
                                  .state = decision});
  }
  compress([this](const UpdatedTensor& t) { return momentum(t); });
  if (parts_.ex.device.kind() == DeviceKind::dry) return;
  for (const UpdatedTensor& t : parts_.tensors) {
    if (parts_.types.moments == DType::f64) {
      keep_still<double>(momentum(t), variance(t));
    } else {
      keep_still<float>(momentum(t), variance(t));
    }
  }
}

void MomentumMeans::compress(
    const std::function<View(const UpdatedTensor& t)>& array_of) const {
  each_mean([&](const CompressedMean& mean, std::span<const UpdatedTensor> tensors) {
    std::vector<View> arrays;
    for (const UpdatedTensor& t : tensors) arrays.push_back(array_of(t));
    mean.average(arrays);
  });
}

void MomentumMeans::visit_rows(
    const std::function<void(const char* kind, const Parameter&, const View& own)>& f) const {
  each_mean([&](const CompressedMean& mean, std::span<const UpdatedTensor> tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      f("worker_error", *tensors[i].parameter, mean.worker_error(i));
    }
  });
}

void MomentumMeans::visit_server_errors(
    const std::function<void(const Parameter&, const View& error)>& f) const {
  each_mean([&](const CompressedMean& mean, std::span<const UpdatedTensor> tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      f(*tensors[i].parameter, mean.server_error(i));
    }
  });
}

std::int64_t MomentumMeans::traffic() const {
  std::int64_t n = 0;
  for (const CompressedMean& m : means_) n += m.traffic();
  return n;
}

}  // namespace trireme
