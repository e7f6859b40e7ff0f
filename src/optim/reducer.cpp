// SPDX-License-Identifier: Apache-2.0
// Buckets of gradients.
#include "trireme/optim/reducer.hpp"

#include <algorithm>

#include "trireme/ops/elementwise.hpp"

namespace trireme {

namespace {

constexpr std::size_t kUnderWay = 2;

}  // namespace

GradientReducer::GradientReducer(const Exec& ex, ParameterStore& store, const Mesh& mesh,
                                 std::int64_t bucket_size, bool tied)
    : ex_(ex),
      store_(store),
      mesh_(mesh),
      bucket_size_(bucket_size),
      tied_(tied && mesh.shape.pp > 1) {
  std::int64_t end = store.gradients().count();
  const auto& parameters = store.parameters();
  for (std::size_t i = parameters.size(); i-- > 0;) {
    if (buckets_.empty() || buckets_.back().span.count >= bucket_size) buckets_.emplace_back();
    Bucket& b = buckets_.back();
    b.span.offset = store.offset(i);
    b.span.count += end - b.span.offset;
    b.uses += parameters[i]->uses;
    end = b.span.offset;
    bucket_of_[parameters[i]] = buckets_.size() - 1;
  }
  for (Bucket& b : buckets_) b.pending = b.uses;
}

void GradientReducer::ready(Module& unit) {
  if (mesh_.shape.dp == 1) return;
  unit.visit([&](Parameter& p) {
    Bucket& b = buckets_[bucket_of_.at(&p)];
    TRM_CHECK(b.pending > 0, "{} came twice for reduction", p.name);
    if (--b.pending == 0) enqueue(b.span);
  });
  progress();
}

void GradientReducer::enqueue(const Span& span) {
  for (std::int64_t at = 0; at < span.count; at += bucket_size_) {
    waiting_.push_back({span.offset + at, std::min(bucket_size_, span.count - at)});
  }
}

void GradientReducer::start_next() {
  const Span span = waiting_.front();
  waiting_.pop_front();
  const View flat = store_.gradients().reshape(Shape{store_.gradients().count(), 1});
  under_way_.push_back(
      mesh_.dp->start_all_reduce(flat.slice_rows(span.offset, span.count), Reduction::sum));
}

void GradientReducer::progress() {
  while (!under_way_.empty() && under_way_.front()->test()) under_way_.pop_front();
  while (!waiting_.empty() && under_way_.size() < kUnderWay) start_next();
}

void GradientReducer::finish() {
  if (mesh_.shape.dp > 1) {
    for (Bucket& b : buckets_) {
      TRM_CHECK(b.pending == 0, "a bucket still lacks {} gradients", b.pending);
      b.pending = b.uses;
    }
    progress();
    while (!under_way_.empty()) {
      under_way_.front()->wait();
      under_way_.pop_front();
      progress();
    }
  }
  sum_over_tp();
  sum_tied();
}

void GradientReducer::sum_over_tp() {
  if (mesh_.shape.tp == 1) return;
  std::int64_t total = 0;
  for (const Parameter* p : store_.parameters()) total += p->sum_over_tp ? p->grad.count() : 0;
  if (total == 0) return;
  // Many small arrays: one exchange of a packed copy.
  const Tensor packed = ex_.make(store_.gradients().dtype(), Shape{total, 1});
  const auto each = [&](auto&& f) {
    std::int64_t at = 0;
    for (const Parameter* p : store_.parameters()) {
      if (!p->sum_over_tp) continue;
      const std::int64_t n = p->grad.count();
      f(p->grad.reshape(Shape{n, 1}), packed.view().slice_rows(at, n));
      at += n;
    }
  };
  each([&](const View& grad, const View& place) { ops::copy(ex_, grad, place); });
  mesh_.tp->all_reduce(packed, Reduction::sum);
  each([&](const View& grad, const View& place) { ops::copy(ex_, place, grad); });
}

void GradientReducer::sum_tied() {
  // Not overlapped: both ends have their whole gradient only now.
  if (!tied_ || mesh_.ends->size() == 1) return;
  for (const Parameter* p : store_.parameters()) {
    if (p->name == "embed_in.weight") mesh_.ends->all_reduce(p->grad, Reduction::sum);
  }
}

}  // namespace trireme
