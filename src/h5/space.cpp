// SPDX-License-Identifier: Apache-2.0
// Shapes and boxes as the library's dataspaces.
#include "space.hpp"

#include <algorithm>
#include <span>

namespace trireme::h5 {

Lengths lengths_of(const Shape& shape) {
  Lengths out{};
  std::copy(shape.extents().begin(), shape.extents().end(), out.begin());
  return out;
}

Id make_space(const Shape& shape, bool extendable) {
  const Lengths now = lengths_of(shape);
  const hsize_t most = H5S_UNLIMITED;
  const hid_t space = shape.rank() == 0 ? H5Screate(H5S_SCALAR)
                                        : H5Screate_simple(shape.rank(), now.data(),
                                                           extendable ? &most : nullptr);
  return {checked(space, "HDF5", "make a dataspace"), H5Sclose};
}

Shape shape_of(hid_t space, std::string_view where) {
  const int rank = checked(H5Sget_simple_extent_ndims(space), where, "read its shape");
  TRM_REQUIRE(rank <= Shape::kMaxRank, "{}: it has {} axes, more than {}", where, rank,
              Shape::kMaxRank);
  TRM_REQUIRE(H5Sget_simple_extent_type(space) != H5S_NULL, "{}: it has no elements", where);
  Lengths lengths{};
  if (rank > 0) {
    checked(H5Sget_simple_extent_dims(space, lengths.data(), nullptr), where, "read its shape");
  }
  std::array<std::int64_t, Shape::kMaxRank> out{};
  hsize_t elements = 1;
  for (std::size_t i = 0; i < static_cast<std::size_t>(rank); ++i) {
    // Keep the product of extents and element size from overflowing.
    TRM_REQUIRE(lengths[i] == 0 || elements <= (hsize_t{1} << 59U) / lengths[i],
                "{}: extent {} is too large for an array", where, lengths[i]);
    elements *= lengths[i];
    out[i] = static_cast<std::int64_t>(lengths[i]);
  }
  return Shape(std::span(out.data(), static_cast<std::size_t>(rank)));
}

void select(hid_t space, const Box& box, std::string_view where) {
  const Lengths start = lengths_of(box.offset);
  const Lengths count = lengths_of(box.extent);
  checked(
      H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
      where, "select a part");
}

}  // namespace trireme::h5
