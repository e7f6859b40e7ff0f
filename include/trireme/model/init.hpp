// SPDX-License-Identifier: Apache-2.0
// Initial weights, keyed by the element's index in the global array: every mesh starts from the
// same weights, bit for bit.
#pragma once

#include <cstdint>
#include <string_view>

#include "trireme/model/config.hpp"
#include "trireme/model/parameter.hpp"
#include "trireme/tensor/box.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// How one array is filled. With L = num_layers, h = hidden_size and, of the global matrix
/// [rows, cols], fan_out = rows and fan_in = cols:
///   normal                         N(0, std)
///   scaled_normal                  N(0, std / √(2L))
///   single_residual_scaled_normal  N(0, std / √L)
///   small_init                     N(0, √(2 / (5h)))     (Nguyen & Salazar, arXiv 1910.05895)
///   wang_init                      N(0, 2 / (L √h))
///   xavier_normal                  N(0, √(2 / (fan_in + fan_out)))      (Glorot & Bengio 2010)
///   xavier_uniform                 U(−a, a), a = √(6 / (fan_in + fan_out))
///   kaiming_uniform                U(−a, a), a = 1 / √fan_in            (He et al. 2015, a =
///   √5) orthogonal                     √2 · Q         (Saxe et al., arXiv 1312.6120)
///   scaled_orthogonal              √(2 / L) · Q
///   zeros, ones                    0 and 1
/// Q comes from the QR factorisation of a normal matrix, by the sign of R's diagonal.
struct InitRule {
  InitMethod method = InitMethod::zeros;
  double std = 0.02;
  std::int64_t num_layers = 1;
  std::int64_t hidden_size = 1;
  double factor = 1;  ///< muP's, of the normal and xavier methods
};

/// The rule for `method`, with the model's sizes and standard deviation.
[[nodiscard]] InitRule init_rule(const ModelConfig& model, InitMethod method);
/// The rule for a parameter, with muP's factor if the model has one.
[[nodiscard]] InitRule init_rule(const ModelConfig& model, const Parameter& parameter);

/// Writes the initial values of `box` of the parameter `name`, whose whole shape is `global`,
/// to `local`. `local` is host memory in fp32 or fp64, with box.extent's rows and columns. A
/// draw is a function of seed, name, and the element's index in the global array. Threads and
/// ranks can therefore share the work. All values are fp32 numbers, also in an fp64 array.
///
/// The orthogonal methods factor the whole matrix in each call, in fp64, in O(rows · cols ·
/// min(rows, cols)) time. Call once for the whole box of a rank. Throws Error if an orthogonal
/// or xavier method is to fill an array that is no matrix.
void fill_initial(View local, const Box& box, const Shape& global, std::string_view name,
                  const InitRule& rule, std::uint64_t seed);

}  // namespace trireme
