// SPDX-License-Identifier: Apache-2.0
// Sets of the mesh's axes: over which ranks something is sharded or summed.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace trireme {

enum class Axis : std::uint8_t {
  tp,
  ends  ///< first and last stage of a pipeline
};

class Axes {
 public:
  constexpr Axes() = default;
  constexpr Axes(std::initializer_list<Axis> axes) {
    for (const Axis a : axes) bits_ |= bit(a);
  }
  [[nodiscard]] constexpr bool has(Axis axis) const { return (bits_ & bit(axis)) != 0; }
  friend constexpr bool operator==(const Axes&, const Axes&) = default;

 private:
  static constexpr unsigned bit(Axis axis) { return 1U << static_cast<unsigned>(axis); }

  unsigned bits_ = 0;
};

}  // namespace trireme
