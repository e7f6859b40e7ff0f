// SPDX-License-Identifier: Apache-2.0
// A graph of cuDNN's operations on arrays of four dimensions: batch, head, row, column.
#pragma once

#include <array>
#include <deque>
#include <vector>

#include "descriptor.hpp"

namespace trireme::cuda {

using Four = std::array<std::int64_t, 4>;

/// An array, or a view of one; the last two dimensions may be swapped.
struct Layout {
  Four sizes{};
  Four strides{};

  [[nodiscard]] static Layout packed(const Four& sizes);
  [[nodiscard]] Layout transposed() const;
};

/// A value between operations, or one of the caller's arrays.
struct GraphArray {
  Descriptor tensor;
  cudnnDataType_t type;
  Layout layout;
};

/// Operations run in fp32. Results that nobody else names stay on chip.
class Graph {
 public:
  /// One of the caller's arrays, aligned to 16 bytes, or an fp32 number of his.
  const GraphArray& array(std::int64_t id, cudnnDataType_t type, const Layout& layout);
  const GraphArray& number(std::int64_t id);
  /// A result to be.
  const GraphArray& inner(cudnnDataType_t type, const Layout& layout);

  const GraphArray& pointwise(cudnnPointwiseMode_t mode, const GraphArray& x);
  const GraphArray& pointwise(cudnnPointwiseMode_t mode, const GraphArray& x,
                              const GraphArray& b);
  void pointwise(cudnnPointwiseMode_t mode, const GraphArray& x, const GraphArray& b,
                 const GraphArray& y);
  /// The number of each element's row (dimension 2) or column (3).
  const GraphArray& index(const GraphArray& like, std::int64_t dimension);
  /// row >= column.
  const GraphArray& at_least(const GraphArray& row, const GraphArray& column);
  /// x where `mask`, else b.
  const GraphArray& select(const GraphArray& x, const GraphArray& b, const GraphArray& mask);
  /// Over the columns.
  const GraphArray& reduce(cudnnReduceTensorOp_t operation, const GraphArray& x);
  void multiply(const GraphArray& a, const GraphArray& b, const GraphArray& c);
  /// The same values with rows and columns exchanged, of this type.
  const GraphArray& transpose(const GraphArray& x, cudnnDataType_t type);

  /// Of all operations so far; `handle` is null where there is no GPU.
  [[nodiscard]] Descriptor finish(cudnnHandle_t handle);

 private:
  struct Pointwise {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    std::int64_t axis = -1;
  };
  const GraphArray& add(std::int64_t id, cudnnDataType_t type, const Layout& layout, bool inner,
                        bool by_value);
  void pointwise(const Pointwise& what, const GraphArray& x, const GraphArray* b,
                 const GraphArray* mask, const GraphArray& y);

  std::deque<GraphArray> arrays_;
  std::vector<Descriptor> operations_;
};

}  // namespace trireme::cuda
