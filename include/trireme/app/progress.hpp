// SPDX-License-Identifier: Apache-2.0
// How far long work has come: a bar on a terminal, a line every few seconds in a log.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

/// For one rank. On a terminal (stderr) one line is drawn over and over and is gone at the end;
/// elsewhere lines go to the log. Both say the share done, the rate and the time left.
class Progress {
 public:
  /// `what` names the work, `unit` what is counted ("MB"). `done` of `total` is there already
  /// (a resumed run) and doesn't count in the rate.
  Progress(std::string what, std::string unit, double total, double done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Cheap: most calls only look at the clock.
  void update(double done);
  /// Makes room for a line of the log in between; the bar is drawn again by the next update().
  void clear();

 private:
  [[nodiscard]] std::string line(double done) const;

  std::string what_;
  std::string unit_;
  double total_;
  double first_;
  double started_;
  double shown_;
  bool terminal_;
  bool drawn_ = false;
};

/// Of 10⁶ bytes.
[[nodiscard]] inline double megabytes(std::int64_t bytes) {
  return static_cast<double>(bytes) * 1e-6;
}

/// "42 s", "3:07 min", "5:04 h", "2 d 3 h": for people.
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace trireme
