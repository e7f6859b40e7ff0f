// SPDX-License-Identifier: Apache-2.0
// A graph of cuDNN's operations on arrays of four dimensions: batch, head, row, column.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "descriptor.hpp"

namespace trireme::cuda {

inline constexpr std::int64_t kAlignment = 16;  ///< bytes, of each array of the caller

using Four = std::array<std::int64_t, 4>;

/// Sizes and strides of an array or a view; the last two dimensions may be swapped.
struct Layout {
  Four sizes{};
  Four strides{};

  [[nodiscard]] static Layout packed(const Four& sizes);
  [[nodiscard]] Layout transposed() const;
};

/// A value between operations, or an array of the caller.
struct GraphArray {
  Descriptor tensor;
  cudnnDataType_t type;
  Layout layout;
};

/// Operations run in fp32. Inner results stay on chip.
class Graph {
 public:
  /// An array of the caller, aligned to 16 bytes; number(): an fp32 value of the caller.
  const GraphArray& array(std::int64_t id, cudnnDataType_t type, const Layout& layout);
  const GraphArray& number(std::int64_t id);
  /// Declares an inner result.
  const GraphArray& inner(cudnnDataType_t type, const Layout& layout);

  const GraphArray& pointwise(cudnnPointwiseMode_t mode, const GraphArray& x);
  const GraphArray& pointwise(cudnnPointwiseMode_t mode, const GraphArray& x,
                              const GraphArray& b);
  void pointwise(cudnnPointwiseMode_t mode, const GraphArray& x, const GraphArray& b,
                 const GraphArray& y);
  /// Returns each element's row index (dimension 2) or column index (dimension 3).
  const GraphArray& index(const GraphArray& like, std::int64_t dimension);
  /// row >= column.
  const GraphArray& at_least(const GraphArray& row, const GraphArray& column);
  /// x where `mask`, else b.
  const GraphArray& select(const GraphArray& x, const GraphArray& b, const GraphArray& mask);
  /// Reduces over the columns.
  const GraphArray& reduce(cudnnReduceTensorOp_t operation, const GraphArray& x);
  void multiply(const GraphArray& a, const GraphArray& b, const GraphArray& c);
  /// Swaps rows and columns; the result has type `type`.
  const GraphArray& transpose(const GraphArray& x, cudnnDataType_t type);

  /// Finishes the graph of all operations so far. `handle` is null without a GPU.
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
