// SPDX-License-Identifier: Apache-2.0
// HangWatch: ends a run whose ranks wait for each other for too long, and says who waits for
// whom. Ranks that cannot communicate find each other's notes in a folder.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "trireme/comm/wait_record.hpp"

namespace trireme {

/// What a rank wrote down when a wait of any rank had lasted too long.
struct WaitNote {
  std::string host;
  std::optional<Wait> wait;  ///< empty while the rank computes. `since` is not kept
  double seconds = 0;        ///< for which the wait has lasted
  bool late = false;         ///< whether this is longer than allowed
};

[[nodiscard]] std::string to_text(const WaitNote& note);
/// Returns nothing if the text is no whole note.
[[nodiscard]] std::optional<WaitNote> wait_note_of(const std::string& text);

/// Lines that name each operation which a late rank waits in, the ranks that came and those
/// that did not, and what these do instead. `notes` are by rank; a rank without a note gave no
/// sign of life.
[[nodiscard]] std::vector<std::string> explain_waits(const std::map<int, WaitNote>& notes,
                                                     int ranks);

/// Looks after the waits of this process in a thread of its own.
class HangWatch {
 public:
  struct Options {
    double timeout = 0;  ///< seconds that a wait may last; 0: no watch
    /// Folder of all ranks for notes, whose name no earlier run had. A late rank makes it, and
    /// the last rank removes it. "": each rank says only what it waits for itself.
    std::string folder;
    int rank = 0;
    int ranks = 1;
    std::string host;
    std::function<void(const std::string&)> say;  ///< gets each line, from the watch's thread
    std::function<void()> end;                    ///< ends the run; may return in tests
  };
  explicit HangWatch(Options options);
  ~HangWatch();
  HangWatch(const HangWatch&) = delete;
  HangWatch& operator=(const HangWatch&) = delete;

 private:
  void look_after();
  /// Waits on the condition; returns whether the watch ends.
  [[nodiscard]] bool sleep(double seconds);
  [[nodiscard]] bool is_called() const;
  void report(const Wait& wait);
  void write_note(const std::optional<Wait>& wait, bool late);
  void remove_note();
  [[nodiscard]] std::optional<WaitNote> read_note(int rank) const;
  /// The lowest rank whose note says that its wait lasts too long; −1 if no note does.
  [[nodiscard]] int first_late_rank() const;

  Options options_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ends_ = false;
  bool noted_ = false;  ///< whether this rank's note is in the folder
  std::thread thread_;
};

}  // namespace trireme
