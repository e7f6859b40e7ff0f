// SPDX-License-Identifier: Apache-2.0
// How far rounding alone moves what a step computes.
#include <algorithm>
#include <array>

#include "trireme/verify/verify.hpp"

namespace trireme {

namespace {

/// Types by how coarsely they round.
int coarseness(DType type) { return type == DType::bf16 ? 2 : type == DType::f16 ? 1 : 0; }

struct Row {
  double output, loss, gradient, kept;
};
constexpr std::array<Row, 3> kBounds{
    {{1e-4, 1e-5, 1e-3, 1e-6}, {2e-2, 2e-3, 1e-1, 1e-3}, {1e-1, 1e-2, 3e-1, 1e-2}}};

const Row& row(int coarse) { return kBounds[static_cast<std::size_t>(coarse)]; }

}  // namespace

const char* name_of(VerifyKind kind) {
  static constexpr std::array<const char*, kVerifyKinds> kNames{"output", "loss", "gradient",
                                                                "master", "value"};
  return kNames[static_cast<std::size_t>(kind)];
}

double VerifyBounds::of(VerifyKind kind) const {
  return std::array{output, loss, gradient, master, value}[static_cast<std::size_t>(kind)];
}

VerifyBounds verify_bounds(const PrecisionConfig& types) {
  const int compute = coarseness(types.compute);
  const int sums =
      std::max({compute, coarseness(types.gradient), coarseness(types.communication)});
  return {.output = row(compute).output,
          .loss = row(compute).loss,
          .gradient = row(sums).gradient,
          .master = row(coarseness(types.master)).kept,
          .value = row(compute).kept};
}

}  // namespace trireme
