// SPDX-License-Identifier: Apache-2.0
// Sums gradients over the ranks that hold addends of them, while backward still runs.
#pragma once

#include <deque>
#include <unordered_map>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/model/module.hpp"

namespace trireme {

/// Gradients are cut into buckets of whole parameters, last parameters first, since backward
/// reaches these first. Once the last micro-batch has gone through all units that add to a
/// bucket, its sum over dp starts; finish() waits, then adds over tp and between a tied pair of
/// stages what still is in parts. All ranks of a dp group must make the same calls in the same
/// order.
class GradientReducer {
 public:
  /// `bucket_size` in elements. `tied`: the first stage's embed_in.weight has a copy on the
  /// last.
  GradientReducer(const Exec& ex, ParameterStore& store, const Mesh& mesh,
                  std::int64_t bucket_size, bool tied);

  /// `unit` has added its share of the last micro-batch. Starts what is complete.
  void ready(Module& unit);
  /// Lets started exchanges go on.
  void progress();
  /// Gradients are sums over all ranks afterwards. The next step begins.
  void finish();
  [[nodiscard]] std::size_t buckets() const { return buckets_.size(); }

 private:
  struct Span {
    std::int64_t offset = 0;
    std::int64_t count = 0;
  };
  struct Bucket {
    Span span;
    int uses = 0;     ///< contributions of units per step
    int pending = 0;  ///< of these, still to come
  };

  void enqueue(const Span& span);
  void start_next();
  void sum_over_tp();
  void sum_tied();

  const Exec& ex_;
  ParameterStore& store_;
  const Mesh& mesh_;
  std::int64_t bucket_size_;
  bool tied_;
  std::vector<Bucket> buckets_;
  std::deque<Span> waiting_;
  std::deque<RequestPtr> under_way_;
  std::unordered_map<const Parameter*, std::size_t> bucket_of_;
};

}  // namespace trireme
