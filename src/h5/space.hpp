// SPDX-License-Identifier: Apache-2.0
// Shapes and boxes as the library's dataspaces.
#pragma once

#include <array>
#include <string_view>

#include "trireme/tensor/box.hpp"

#include "library.hpp"

namespace trireme::h5 {

using Lengths = std::array<hsize_t, Shape::kMaxRank>;

[[nodiscard]] Lengths lengths_of(const Shape& shape);

/// A dataspace of a whole array. `extendable`: without limit, along one axis.
[[nodiscard]] Id make_space(const Shape& shape, bool extendable = false);

/// Throws Error if no Shape can hold it, or its bytes can't be counted.
[[nodiscard]] Shape shape_of(hid_t space, std::string_view where);

/// Selects a box of at least one axis, and drops the selection before.
void select(hid_t space, const Box& box, std::string_view where);

}  // namespace trireme::h5
