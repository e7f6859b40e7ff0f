// SPDX-License-Identifier: Apache-2.0
// cuDNN's operations and their attributes.
#include "graph.hpp"

namespace trireme::cuda {

namespace {

/// Ids of inner results begin here; the caller's ids are smaller.
constexpr std::int64_t kFirstInner = 1000;

}  // namespace

Layout Layout::packed(const Four& sizes) {
  return {sizes, {sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1}};
}

Layout Layout::transposed() const {
  Layout result = *this;
  std::swap(result.sizes[2], result.sizes[3]);
  std::swap(result.strides[2], result.strides[3]);
  return result;
}

const GraphArray& Graph::add(std::int64_t id, cudnnDataType_t type, const Layout& layout,
                             bool inner, bool by_value) {
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(layout.sizes))
      .set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(layout.strides))
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment)
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, inner)
      .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, by_value)
      .finalize();
  arrays_.push_back({std::move(tensor), type, layout});
  return arrays_.back();
}

const GraphArray& Graph::array(std::int64_t id, cudnnDataType_t type, const Layout& layout) {
  return add(id, type, layout, false, false);
}

const GraphArray& Graph::number(std::int64_t id) {
  return add(id, CUDNN_DATA_FLOAT, Layout::packed({1, 1, 1, 1}), false, true);
}

const GraphArray& Graph::inner(cudnnDataType_t type, const Layout& layout) {
  return add(kFirstInner + static_cast<std::int64_t>(arrays_.size()), type, layout, true,
             false);
}

void Graph::pointwise(const Pointwise& what, const GraphArray& x, const GraphArray* b,
                      const GraphArray* mask, const GraphArray& y) {
  Descriptor how(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  how.set(CUDNN_ATTR_POINTWISE_MODE, what.mode)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, what.precision);
  if (what.axis >= 0) how.set(CUDNN_ATTR_POINTWISE_AXIS, what.axis);
  how.finalize();
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x.tensor);
  if (b != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b->tensor);
  if (mask != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, mask->tensor);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y.tensor).finalize();
  operations_.push_back(std::move(operation));
}

const GraphArray& Graph::pointwise(cudnnPointwiseMode_t mode, const GraphArray& x) {
  const GraphArray& y = inner(CUDNN_DATA_FLOAT, x.layout);
  pointwise({mode}, x, nullptr, nullptr, y);
  return y;
}

const GraphArray& Graph::pointwise(cudnnPointwiseMode_t mode, const GraphArray& x,
                                   const GraphArray& b) {
  const GraphArray& y = inner(CUDNN_DATA_FLOAT, x.layout);
  pointwise({mode}, x, &b, nullptr, y);
  return y;
}

void Graph::pointwise(cudnnPointwiseMode_t mode, const GraphArray& x, const GraphArray& b,
                      const GraphArray& y) {
  pointwise({mode}, x, &b, nullptr, y);
}

const GraphArray& Graph::index(const GraphArray& like, std::int64_t dimension) {
  const GraphArray& y = inner(CUDNN_DATA_INT32, like.layout);
  pointwise({CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, dimension}, like, nullptr, nullptr,
            y);
  return y;
}

const GraphArray& Graph::at_least(const GraphArray& row, const GraphArray& column) {
  const GraphArray& y = inner(CUDNN_DATA_BOOLEAN, row.layout);
  pointwise({CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_BOOLEAN}, row, &column, nullptr, y);
  return y;
}

const GraphArray& Graph::select(const GraphArray& x, const GraphArray& b,
                                const GraphArray& mask) {
  const GraphArray& y = inner(CUDNN_DATA_FLOAT, x.layout);
  pointwise({CUDNN_POINTWISE_BINARY_SELECT}, x, &b, &mask, y);
  return y;
}

const GraphArray& Graph::reduce(cudnnReduceTensorOp_t operation, const GraphArray& x) {
  const Four& sizes = x.layout.sizes;
  const GraphArray& y =
      inner(CUDNN_DATA_FLOAT, Layout::packed({sizes[0], sizes[1], sizes[2], 1}));
  Descriptor how(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  how.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_REDUCTION_OPERATOR, operation)
      .finalize();
  Descriptor reduction(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  reduction.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, how)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x.tensor)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y.tensor)
      .finalize();
  operations_.push_back(std::move(reduction));
  return y;
}

void Graph::multiply(const GraphArray& a, const GraphArray& b, const GraphArray& c) {
  Descriptor how(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT).finalize();
  Descriptor product(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  product.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a.tensor)
      .set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b.tensor)
      .set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c.tensor)
      .set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how)
      .finalize();
  operations_.push_back(std::move(product));
}

const GraphArray& Graph::transpose(const GraphArray& x, cudnnDataType_t type) {
  const GraphArray& y = inner(type, x.layout.transposed());
  Descriptor operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x.tensor)
      .set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y.tensor)
      .finalize();
  operations_.push_back(std::move(operation));
  return y;
}

Descriptor Graph::finish(cudnnHandle_t handle) {
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_);
  if (handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
  graph.finalize();
  return graph;
}

}  // namespace trireme::cuda
