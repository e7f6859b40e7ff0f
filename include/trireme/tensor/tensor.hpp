// SPDX-License-Identifier: Apache-2.0
// Tensor is a contiguous array that owns its memory; View is a window on an array. A View can
// be read as a matrix: its columns are the last axis, its rows are all others. Columns are
// adjacent in memory; rows are `row_stride` elements apart. Kernels and collectives take Views,
// which carry both count and type.
#pragma once

#include <cstdint>
#include <memory>

#include "trireme/core/dtype.hpp"
#include "trireme/core/error.hpp"
#include "trireme/core/shape.hpp"
#include "trireme/device/device.hpp"

namespace trireme {

/// A read-only window. Does not own; the memory must outlive it.
class ConstView {
 public:
  ConstView() = default;
  ConstView(const void* data, DType dtype, const Shape& shape, std::int64_t row_stride)
      : data_(const_cast<void*>(data)), row_stride_(row_stride), shape_(shape), dtype_(dtype) {}
  ConstView(const void* data, DType dtype, const Shape& shape)
      : ConstView(data, dtype, shape, shape.cols()) {}

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] std::int64_t rows() const { return shape_.rows(); }
  [[nodiscard]] std::int64_t cols() const { return shape_.cols(); }
  [[nodiscard]] std::int64_t count() const { return shape_.count(); }
  [[nodiscard]] std::int64_t row_stride() const { return row_stride_; }
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(count()) * size_of(dtype_);
  }
  [[nodiscard]] bool contiguous() const { return row_stride_ == cols() || rows() <= 1; }
  [[nodiscard]] bool empty() const { return data_ == nullptr || count() == 0; }
  [[nodiscard]] const void* raw() const { return data_; }
  /// Typed pointer to the first element; throws Error if the element type is another.
  template <class T>
  [[nodiscard]] const T* data() const {
    check_type(kDTypeOf<T>);
    return static_cast<const T*>(data_);
  }
  [[nodiscard]] ConstView slice_rows(std::int64_t begin, std::int64_t n) const;
  [[nodiscard]] ConstView slice_cols(std::int64_t begin, std::int64_t n) const;
  /// Other extents over the same contiguous elements.
  [[nodiscard]] ConstView reshape(const Shape& shape) const;

 protected:
  void check_type(DType t) const {
    TRM_CHECK(t == dtype_, "a {} array used as {}", name_of(dtype_), name_of(t));
  }
  void* data_ = nullptr;
  std::int64_t row_stride_ = 0;
  Shape shape_;
  DType dtype_ = DType::f32;
};

/// A window that can be written through.
class View : public ConstView {
 public:
  View() = default;
  View(void* data, DType dtype, const Shape& shape, std::int64_t row_stride)
      : ConstView(data, dtype, shape, row_stride) {}
  View(void* data, DType dtype, const Shape& shape) : ConstView(data, dtype, shape) {}

  [[nodiscard]] void* raw() const { return data_; }
  template <class T>
  [[nodiscard]] T* data() const {
    check_type(kDTypeOf<T>);
    return static_cast<T*>(data_);
  }
  [[nodiscard]] View slice_rows(std::int64_t begin, std::int64_t n) const;
  [[nodiscard]] View slice_cols(std::int64_t begin, std::int64_t n) const;
  [[nodiscard]] View reshape(const Shape& shape) const;
};

/// A contiguous array with shared ownership, not initialised when made. A copy is another
/// handle on the same elements: a tape and a module can hold one activation.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Device& device, DType dtype, const Shape& shape);
  /// An array with all bits zero; the fill is queued on `stream`.
  static Tensor zeros(Device& device, DType dtype, const Shape& shape, Stream& stream);

  [[nodiscard]] bool defined() const { return buffer_ != nullptr; }
  /// Whether no other handle shares the elements: their owner may then overwrite them.
  [[nodiscard]] bool unique() const { return buffer_.use_count() == 1; }
  [[nodiscard]] View view() const;
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] std::int64_t rows() const { return shape_.rows(); }
  [[nodiscard]] std::int64_t cols() const { return shape_.cols(); }
  [[nodiscard]] std::int64_t count() const { return shape_.count(); }
  [[nodiscard]] Device& device() const { return buffer_->device(); }
  // NOLINTNEXTLINE(google-explicit-constructor): a Tensor serves wherever a View is expected
  operator View() const { return view(); }
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator ConstView() const { return view(); }
  template <class T>
  [[nodiscard]] T* data() const {
    return view().data<T>();
  }

 private:
  std::shared_ptr<Buffer> buffer_;
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace trireme
