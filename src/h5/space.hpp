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

/// All of an array. `extendable`: without limit, along one axis.
[[nodiscard]] Id make_space(const Shape& shape, bool extendable = false);

/// Throws Error if it is none of ours, or beyond what counts of bytes can hold.
[[nodiscard]] Shape shape_of(hid_t space, std::string_view where);

/// A box of at least one axis, in place of what was selected.
void select(hid_t space, const Box& box, std::string_view where);

}  // namespace trireme::h5
