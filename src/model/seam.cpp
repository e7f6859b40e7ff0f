// SPDX-License-Identifier: Apache-2.0
// The four kinds of seams.
#include "trireme/model/seam.hpp"

namespace trireme {

Tensor Seam::forward(const Exec& ex, Tensor x) const {
  switch (kind_) {
    case Kind::none:
    case Kind::copy:
      return x;
    case Kind::reduce:
      return all_reduce(std::move(x));
    case Kind::gather:
      return all_gather(ex, x);
    case Kind::scatter:
      return reduce_scatter(ex, x);
  }
  throw Error("unknown seam");
}

Tensor Seam::backward(const Exec& ex, Tensor dy) const {
  switch (kind_) {
    case Kind::none:
    case Kind::reduce:
      return dy;
    case Kind::copy:
      return all_reduce(std::move(dy));
    case Kind::gather:
      return reduce_scatter(ex, dy);
    case Kind::scatter:
      return all_gather(ex, dy);
  }
  throw Error("unknown seam");
}

Tensor Seam::all_reduce(Tensor x) const {
  TRM_CHECK(x.unique(), "an in-place all-reduce of a tensor that others hold");
  tp_->all_reduce(x, Reduction::sum);
  return x;
}

Tensor Seam::all_gather(const Exec& ex, const Tensor& x) const {
  Tensor all = ex.make(x.dtype(), Shape{x.rows() * tp_->size(), x.cols()});
  tp_->all_gather(x, all);
  return all;
}

Tensor Seam::reduce_scatter(const Exec& ex, const Tensor& x) const {
  TRM_CHECK(x.rows() % tp_->size() == 0, "{} rows over {} ranks", x.rows(), tp_->size());
  Tensor mine = ex.make(x.dtype(), Shape{x.rows() / tp_->size(), x.cols()});
  tp_->reduce_scatter(x, mine);
  return mine;
}

Seam TensorParallel::in() const {
  if (size() == 1) return {};
  return {sequence_parallel ? Seam::Kind::gather : Seam::Kind::copy, *comm};
}

Seam TensorParallel::out() const {
  if (size() == 1) return {};
  return {sequence_parallel ? Seam::Kind::scatter : Seam::Kind::reduce, *comm};
}

}  // namespace trireme
