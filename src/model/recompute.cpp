// SPDX-License-Identifier: Apache-2.0
// Sharding inputs over tp.
#include "recompute.hpp"

namespace trireme {

namespace {

/// Whether each rank of tp keeps a share of x, of which every rank has all.
bool shared_out(const RecomputeConfig& config, const TensorParallel& tp) {
  return config.partition && tp.size() > 1 && !tp.rows_are_cut();
}

/// tp divides the hidden size, but not always the number of rows. A share is therefore a run of
/// consecutive elements.
Tensor share_of(const Exec& ex, const TensorParallel& tp, const Tensor& x) {
  TRM_CHECK(x.count() % tp.size() == 0, "{} elements over {} ranks", x.count(), tp.size());
  const View blocks = x.view().reshape(Shape{tp.size(), x.count() / tp.size()});
  const View mine = blocks.slice_rows(tp.rank(), 1);
  Tensor share = ex.make(x.dtype(), mine.shape());
  ex.device.copy(share.view().raw(), mine.raw(), mine.bytes(), ex.stream);
  return share;
}

}  // namespace

void keep_input(const Exec& ex, const RecomputeConfig& config, const TensorParallel& tp,
                HostInputs* host, const Tensor& x, Tape& tape) {
  if (!tape.recording()) return;
  const Tensor kept = shared_out(config, tp) ? share_of(ex, tp, x) : x;
  if (host != nullptr) {
    host->put(ex, kept, tape);
  } else {
    tape.put(kept);
  }
}

Tensor take_input(const Exec& ex, const RecomputeConfig& config, const TensorParallel& tp,
                  HostInputs* host, Tape& tape) {
  Tensor kept = host != nullptr ? host->take(ex, tape) : tape.take();
  if (!shared_out(config, tp)) return kept;
  const std::int64_t rows = tape.micro_batch().rows();
  Tensor x = ex.make(kept.dtype(), Shape{rows, kept.count() * tp.size() / rows});
  tp.comm->all_gather(kept, x);
  return x;
}

}  // namespace trireme
