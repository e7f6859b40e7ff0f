// SPDX-License-Identifier: Apache-2.0
// Parts of updates that need sums over whole parameters. An array here is a slice of a
// parameter: `first` is the slice's first element within the parameter's matrix of `columns`
// columns. A vector is a matrix of one column. Where a StepState has no update, an operation
// changes nothing.
#pragma once

#include "trireme/ops/exec.hpp"
#include "trireme/ops/step_state.hpp"

namespace trireme::ops {

/// m ← β1·m + (1 − β1)·g and v ← β2·v + (1 − β2)·g².
struct AdamMoments {
  double beta1;
  double beta2;
  ConstView gradient;  ///< [n]; the state's factor multiplies it
  View exp_avg;        ///< [n]
  View exp_avg_sq;     ///< [n], in m's type
  ConstView state;     ///< a StepState
};
void adam_moments(const Exec& ex, const AdamMoments& op);

/// LAMB (You et al., arXiv 1904.00962) as DeepSpeed computes it: u = m / (√v + ε) + λ·θ.
struct LambStep {
  double lr = 0;
  double epsilon = 0;
  double weight_decay = 0;
  double max_coeff = 0;
  double min_coeff = 0;
};

/// sums += {Σ θ², Σ u²}.
struct LambSquares {
  LambStep step;
  ConstView value;  ///< [n]
  ConstView exp_avg;
  ConstView exp_avg_sq;
  View sums;  ///< fp64 [2]
  ConstView state;
};
void lamb_squares(const Exec& ex, const LambSquares& op);

/// θ ← θ − lr · √(1−β2ᵗ)/(1−β1ᵗ) · c · u. The coefficient c is |θ| / |u| within min_coeff …
/// max_coeff, or 1 if a norm is zero.
struct LambUpdate {
  LambStep step;
  View value;  ///< [n]
  ConstView exp_avg;
  ConstView exp_avg_sq;
  ConstView sums;  ///< fp64 [2], of the whole parameter
  View copy = {};  ///< [n], receives the new value in its own type; may be empty
  ConstView state;
};
void lamb_update(const Exec& ex, const LambUpdate& op);

/// rows[i] += Σ g² over the elements of row i, and cols[j] += Σ g² over those of column j.
struct FactorSums {
  std::int64_t first;
  std::int64_t columns;
  ConstView gradient;  ///< [n]; the state's factor multiplies it
  View rows;           ///< fp64 [rows]
  View cols;           ///< fp64 [columns]; empty for a vector
  ConstView state;
};
void factor_sums(const Exec& ex, const FactorSums& op);

/// Adafactor (Shazeer and Stern, arXiv 1804.04235) as PyTorch computes it. With ω = t^decay:
/// row_var ← row_var + ω·(row sum / columns − row_var), and col_var likewise.
struct AdafactorMoments {
  double beta2_decay;
  std::int64_t global_rows;     ///< rows of the whole matrix
  std::int64_t global_columns;  ///< 1 for a vector
  ConstView row_sums;           ///< fp64, of this rank's rows
  ConstView col_sums;           ///< fp64; empty for a vector
  View row_var;                 ///< fp64
  View col_var;                 ///< fp64; empty for a vector
  ConstView state;
};
void adafactor_moments(const Exec& ex, const AdafactorMoments& op);

/// An element's update is u = g / max(√w, ε1). In a vector, w is row_var. In a matrix, w is
/// row_var·col_var / max(μ, ε1), where μ is the mean of row_var.
struct AdafactorStep {
  double lr = 0;
  double epsilon = 0;   ///< ε1
  double epsilon2 = 0;  ///< ε2
  double clip_threshold = 0;
  double weight_decay = 0;
  std::int64_t elements = 1;  ///< elements of the whole parameter
};

/// sums += {Σ θ², Σ u²}.
struct AdafactorSquares {
  AdafactorStep step;
  std::int64_t first;
  std::int64_t columns;
  ConstView gradient;  ///< [n]
  ConstView value;     ///< [n]
  ConstView row_var;
  ConstView col_var;
  View sums;                  ///< fp64 [2]
  bool mean_of_cols = false;  ///< the mean of col_var is that of row_var on all ranks
  ConstView state;
};
void adafactor_squares(const Exec& ex, const AdafactorSquares& op);

/// θ ← θ·(1 − lr·λ) − α / max(1, rms(u) / clip) · u, where α = max(ε2, rms(θ)) · min(lr, 1/√t).
struct AdafactorUpdate {
  AdafactorStep step;
  std::int64_t first;
  std::int64_t columns;
  ConstView gradient;
  View value;
  ConstView row_var;
  ConstView col_var;
  ConstView sums;  ///< fp64 [2], of the whole parameter
  bool mean_of_cols = false;
  View copy = {};
  ConstView state;
};
void adafactor_update(const Exec& ex, const AdafactorUpdate& op);

/// SM3 (Anil et al., arXiv 1901.11150) as GPT-NeoX computes it: ν = min(row, column) + g², or
/// β·min(row, column) + (1 − β)·g² if β > 0. The accumulators of a step become the largest ν of
/// a row or column: rows[i] ← max(rows[i], ν), cols[j] likewise.
struct Sm3Cover {
  double beta;
  std::int64_t first;
  std::int64_t columns;
  ConstView gradient;
  ConstView row_acc;  ///< fp64, of the last step
  ConstView col_acc;  ///< fp64; empty for a vector
  View rows;          ///< fp64
  View cols;          ///< fp64; empty for a vector
  ConstView state;
};
void sm3_cover(const Exec& ex, const Sm3Cover& op);

/// u = g / √(ν + ε), with momentum b ← u ← μ·b + (1 − μ)·u, and θ ← θ − lr·u.
struct Sm3Update {
  double lr;
  double beta;
  double momentum;
  double epsilon;
  std::int64_t first;
  std::int64_t columns;
  ConstView gradient;
  View value;
  View buffer = {};  ///< [n], b; empty without momentum
  ConstView row_acc;
  ConstView col_acc;
  View copy = {};
  ConstView state;
};
void sm3_update(const Exec& ex, const Sm3Update& op);

/// Muon (Jordan et al., 2024): b ← b + (1 − μ)·(g − b), and direction = g + μ·(b − g).
struct MuonDirection {
  double momentum;
  ConstView gradient;  ///< [n]
  View buffer;         ///< [n]
  View direction;      ///< [n], fp32 or fp64; zero where there is no update
  ConstView state;
};
void muon_direction(const Exec& ex, const MuonDirection& op);

/// y = x / (√squares + ε).
struct Normalize {
  ConstView x;        ///< [m, n]
  ConstView squares;  ///< fp64 [1]
  double epsilon;
  View y;  ///< [m, n], in any type of x's precision; may be x
};
void normalize(const Exec& ex, const Normalize& op);

/// θ ← θ·(1 − decay) − rate·direction.
struct ApplyDirection {
  double rate;
  double decay;
  ConstView direction;  ///< [n]
  View value;           ///< [n]
  View copy = {};
  ConstView state;
};
void apply_direction(const Exec& ex, const ApplyDirection& op);

}  // namespace trireme::ops
