// SPDX-License-Identifier: Apache-2.0
// A run's event file for TensorBoard.
#pragma once

#include <string>

#include "trireme/record/metrics.hpp"

#include "kept_file.hpp"

namespace trireme {

/// For rank 0 alone. Each start of the program writes a file; TensorBoard joins the files by
/// step. A file that was moved or removed is written again. If writing fails, one warning is
/// logged, and no more events are written.
class TensorBoard {
 public:
  /// Creates a file in the existing `folder`. The run goes on from `iteration`: later events of
  /// other files become void, and at 0 all of them. `deck` is shown as text.
  TensorBoard(const std::string& folder, std::int64_t iteration, const std::string& deck);

  // Events are kept in memory until flush(). `wall_time` is in seconds since 1970.
  void add(const StepRecord& step);
  /// Group "valid" or "test".
  void add(double wall_time, const std::string& group, const EvaluationRecord& evaluation);
  void add(double wall_time, const TaskRecord& task);
  void add(double wall_time, const SampleRecord& samples);
  /// The most memory of any rank, as of `iteration`.
  void add_peak_bytes(double wall_time, std::int64_t iteration, std::int64_t bytes);
  void flush();

 private:
  void append(bool create);
  /// Warns once, and writes no more events.
  void give_up(int reason);

  std::string path_;
  KeptFile kept_;
  std::string records_;  ///< not written yet
};

}  // namespace trireme
