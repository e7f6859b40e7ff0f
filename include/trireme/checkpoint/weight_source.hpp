// SPDX-License-Identifier: Apache-2.0
// Where a model's weights come from: any box of any array, by the names that checkpoints use.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "trireme/tensor/box.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// Not collective: each rank has a source of its own and reads what the rank needs. A name is
/// "model/" and the name of a Parameter. A checkpoint also holds "optimizer/…". Every error
/// names the file or folder, the tensor, and the reason.
class WeightSource {
 public:
  WeightSource() = default;
  virtual ~WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;
  WeightSource(WeightSource&&) = default;
  WeightSource& operator=(WeightSource&&) = default;

  [[nodiscard]] virtual bool has(const std::string& name) const = 0;
  [[nodiscard]] virtual Shape global_shape(const std::string& name) const = 0;
  /// The element type in which read() returns a tensor.
  [[nodiscard]] virtual DType dtype(const std::string& name) const = 0;
  /// All tensors, by name.
  [[nodiscard]] virtual std::vector<std::string> names() const = 0;
  /// Fills `to` with a box of the tensor. `to` is host memory with the box's count in row-major
  /// order, and has the type that dtype() says. Throws Error unless the tensor has this global
  /// shape.
  virtual void read(const std::string& name, const Shape& global, const Box& box,
                    const View& to) = 0;
  /// Like the other read(), for a tensor of any shape.
  void read(const std::string& name, const Box& box, const View& to) {
    read(name, global_shape(name), box, to);
  }
};

/// Like source.read(), but `to` may have any of the types f32, bf16 and f16.
/// Throws Error at a finite value that is too large for f16.
void read_as(WeightSource& source, const std::string& name, const Box& box, const View& to);

/// Throws Error at a finite value that is too large for f16, of the tensor `name`.
void require_f16(const std::string& name, std::span<const float> values);

/// The name of the tensor that holds a parameter's values most precisely: the masters, where
/// the source has masters beside values in half precision.
[[nodiscard]] std::string most_precise(const WeightSource& source,
                                       const std::string& parameter);

}  // namespace trireme
