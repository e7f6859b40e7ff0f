// SPDX-License-Identifier: Apache-2.0
// Slices views and allocates tensors.
#include "trireme/tensor/tensor.hpp"

namespace trireme {

namespace {

std::byte* at(void* data, DType dtype, std::int64_t element) {
  return static_cast<std::byte*>(data) + static_cast<std::size_t>(element) * size_of(dtype);
}

}  // namespace

View View::slice_rows(std::int64_t begin, std::int64_t n) const {
  TRM_CHECK(begin >= 0 && n >= 0 && begin + n <= rows(), "rows {}+{} of {}", begin, n, rows());
  return {at(data_, dtype_, begin * row_stride_), dtype_, Shape{n, cols()}, row_stride_};
}

View View::slice_cols(std::int64_t begin, std::int64_t n) const {
  TRM_CHECK(begin >= 0 && n >= 0 && begin + n <= cols(), "columns {}+{} of {}", begin, n,
            cols());
  return {at(data_, dtype_, begin), dtype_, Shape{rows(), n}, row_stride_};
}

View View::reshape(const Shape& shape) const {
  TRM_CHECK(contiguous() && shape.count() == count(), "{} seen as {}", shape_.str(),
            shape.str());
  return {data_, dtype_, shape};
}

ConstView ConstView::slice_rows(std::int64_t begin, std::int64_t n) const {
  return View(data_, dtype_, shape_, row_stride_).slice_rows(begin, n);
}

ConstView ConstView::slice_cols(std::int64_t begin, std::int64_t n) const {
  return View(data_, dtype_, shape_, row_stride_).slice_cols(begin, n);
}

ConstView ConstView::reshape(const Shape& shape) const {
  return View(data_, dtype_, shape_, row_stride_).reshape(shape);
}

Tensor::Tensor(Device& device, DType dtype, const Shape& shape)
    : buffer_(std::make_shared<Buffer>(
          device, static_cast<std::size_t>(shape.count()) * size_of(dtype))),
      shape_(shape),
      dtype_(dtype) {}

Tensor Tensor::zeros(Device& device, DType dtype, const Shape& shape, Stream& stream) {
  Tensor t(device, dtype, shape);
  device.zero(t.buffer_->data(), t.view().bytes(), stream);
  return t;
}

View Tensor::view() const {
  TRM_CHECK(buffer_ != nullptr, "an empty tensor was used");
  return {buffer_->data(), dtype_, shape_};
}

}  // namespace trireme
