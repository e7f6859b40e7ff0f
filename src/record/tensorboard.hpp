// SPDX-License-Identifier: Apache-2.0
// A run's event file for TensorBoard.
#pragma once

#include <fstream>
#include <string>

#include "trireme/record/metrics.hpp"

namespace trireme {

/// Rank 0 alone. One file for each start of the program, which TensorBoard puts together by
/// step. What can't be written is told in one warning, and from then on nothing is.
class TensorBoard {
 public:
  /// A new file in `folder`, which exists. The run goes on from `iteration`: what files there
  /// say of later ones is void, of an earlier run at 0 all of it. `deck`: shown as text.
  TensorBoard(const std::string& folder, std::int64_t iteration, const std::string& deck);

  // Kept until flush(). `wall_time` in seconds since 1970.
  void add(const StepRecord& step);
  /// Group "valid" or "test".
  void add(double wall_time, const std::string& group, const EvaluationRecord& evaluation);
  /// The most of all ranks, as of `iteration`.
  void add_peak_bytes(double wall_time, std::int64_t iteration, std::int64_t bytes);
  void flush();

 private:
  /// No more events: a warning, once.
  void give_up(int reason);

  std::string path_;
  std::ofstream file_;
  std::string records_;  ///< not written yet
};

}  // namespace trireme
