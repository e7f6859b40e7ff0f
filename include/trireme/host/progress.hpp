// SPDX-License-Identifier: Apache-2.0
// How far long work has come: a bar on a terminal, a line every few seconds in a log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

/// For one rank. Where stdout or stderr ends on a terminal (under Open MPI's or MPICH's
/// mpirun too, if this rank runs where mpirun does) one line is drawn over and over, and is
/// gone at the end; elsewhere, and where TERM is dumb or not set, lines go to the log. Both say
/// the share done, the rate and the time left.
class Progress {
 public:
  /// `what` names the work, `unit` what is counted ("MB"; may be empty). `done` of `total` is
  /// there already (a resumed run) and doesn't count in the rate.
  Progress(std::string what, std::string unit, double total, double done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// It is drawn as a bar.
  [[nodiscard]] bool on_terminal() const { return terminal_; }
  /// Stands in the place of the rate from now on: "loss 2.31", "4200 tokens/s".
  void set_news(std::vector<std::string> news) { news_ = std::move(news); }
  /// Cheap: most calls only look at the clock.
  void update(double done);

 private:
  [[nodiscard]] std::vector<std::string> parts(double done) const;

  std::string what_;
  std::string unit_;
  double total_;
  double first_;
  double started_;
  double shown_;
  bool terminal_;
  std::vector<std::string> news_;
};

/// A bar and what fits of `parts` beside it, in less than `width` columns: where it is narrow,
/// first the bar goes, then the part before the last, then those at the end. `share` from 0 to
/// 1.
[[nodiscard]] std::string bar_line(double share, std::vector<std::string> parts, int width);

/// Of 10⁶ bytes.
[[nodiscard]] inline double megabytes(std::int64_t bytes) {
  return static_cast<double>(bytes) * 1e-6;
}

/// "42 s", "3:07 min", "5:04 h", "2 d 3 h": for people.
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace trireme
