// SPDX-License-Identifier: Apache-2.0
// Progress of long work: a bar on a terminal, or a line every few seconds in a log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

/// Shows the progress of one rank's work: the share done, the rate and the time left. If stdout
/// or stderr ends on a terminal, one line is redrawn there and erased at the end. This holds
/// under mpirun too if this rank runs on mpirun's host. Elsewhere, and where TERM is dumb or
/// not set, lines go to the log.
class Progress {
 public:
  /// `what` names the work, and `unit` what is counted ("MB"; may be empty). A `total` of 0 is
  /// not known. A resumed run has
  /// already `done` a share of `total`, which the rate leaves out.
  Progress(std::string what, std::string unit, double total, double done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Whether progress is drawn as a bar.
  [[nodiscard]] bool on_terminal() const { return terminal_; }
  /// Texts to show instead of the rate from now on: "loss 2.31", "4200 tokens/s".
  void set_news(std::vector<std::string> news) { news_ = std::move(news); }
  /// Reports the amount `done`. Most calls return at once, as only time decides what is shown.
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

/// A bar and what fits of `parts` beside it, in less than `width` columns. Where columns are
/// few, the bar is dropped first. Next to go is the part before the last, followed by those at
/// the end. `share` is 0 to 1.
[[nodiscard]] std::string bar_line(double share, std::vector<std::string> parts, int width);

/// Converts to units of 10⁶ bytes.
[[nodiscard]] inline double megabytes(std::int64_t bytes) {
  return static_cast<double>(bytes) * 1e-6;
}

/// A duration for people to read: "42 s", "3:07 min", "5:04 h", "2 d 3 h".
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace trireme
