// SPDX-License-Identifier: Apache-2.0
// How far rounding alone moves what a step computes.
#include <algorithm>
#include <array>

#include "trireme/verify/verify.hpp"

namespace trireme {

namespace {

/// Types by how coarsely they round.
int coarseness(DType type) { return type == DType::bf16 ? 2 : type == DType::f16 ? 1 : 0; }

/// Bounds of one precision. `kept` bounds masters and values.
struct Row {
  double output, loss, gradient, kept;
};

// The largest differences on the 18 meshes of test/train/meshes.cpp with four models each, with
// every ZeRO stage, with accumulation and with dropout, in two steps:
//
//                output     loss  gradient     kept
//     fp32       1.3e-5   1.8e-8    2.3e-5        0
//     fp16       1.1e-2   4.5e-5    1.9e-2   9.0e-4
//     bf16       3.2e-2   1.3e-4    7.2e-2   5.4e-3
//
// The bounds are 4 to 60 times as large. A value in half precision differs by one rounding of
// the largest element, if at all. test/verify/honest_test.cpp requires a margin of 3.
constexpr std::array<Row, 3> kBounds{{{1e-4, 1e-6, 5e-4, 1e-6},      // fp32
                                      {5e-2, 5e-4, 1e-1, 4e-3},      // fp16
                                      {1.5e-1, 1e-3, 3e-1, 3e-2}}};  // bf16

// What Adam moves by rounding alone, per unit of the learning rate. The most measured in fp32
// was 0.16 in outputs and 0.22 in gradients: 6 layers, hidden 384, lr 1e-3, tp 2 × pp 2.
constexpr double kOutputPerRate = 1;
constexpr double kGradientPerRate = 2;

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

double VerifyBounds::of(VerifyKind kind, double rates) const {
  switch (kind) {
    case VerifyKind::output:
      return output + kOutputPerRate * rates;
    case VerifyKind::gradient:
      return gradient + kGradientPerRate * rates;
    default:
      return of(kind);
  }
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
