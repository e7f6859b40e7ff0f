// SPDX-License-Identifier: Apache-2.0
// Rotary frequencies of a model, scaled for longer sequences as Hugging Face's models define.
// With f_i = base^(−2i/d), d rotated entries, s = factor, and L = the original length:
//   linear   f_i / s
//   dynamic  f_i of the base b·(s·n/L − s + 1)^(d/(d − 2)), where n = max(seq_length, L)
//   llama3   f_i / s where the wavelength 2π/f_i is above L / low_freq_factor, f_i where the
//            wavelength is below L / high_freq_factor, and a mean in between
//   yarn     f_i / s where L·f_i/2π turns are fewer than beta_slow, f_i where they are more
//   than
//            beta_fast, and a mean in between; cosines and sines times attention_factor
//            (Peng et al., arXiv 2309.00071)
// The dynamic rule depends on the deck's seq_length alone, not on a text's length.
#pragma once

#include "trireme/model/config.hpp"
#include "trireme/ops/attention.hpp"

namespace trireme {

/// The table of one kind of layers: those with rotary_emb_local_base, or the others.
[[nodiscard]] ops::RotaryTable rotary_rule(const ModelConfig& config, DType dtype, bool local);

}  // namespace trireme
