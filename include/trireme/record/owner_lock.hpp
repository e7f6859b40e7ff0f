// SPDX-License-Identifier: Apache-2.0
// One owner at a time of a folder or an output file. The lock is a small text file, which needs
// O_EXCL and times of files alone. Many parallel file systems have no flock() to rely on.
//
// - The file STEM.N is the lock of generation N. Its text names host, process, batch job, since
//   when, and the folder. The highest N is the owner. Without a file there is no owner.
// - A free lock is taken by creating STEM.1 with O_EXCL. A dead owner's lock N is taken over by
//   creating STEM.N+1 with O_EXCL, which one process alone can do, and by removing STEM.N. A
//   process owns its lock if its generation is the highest, and if the lock that it took over
//   was still there. Else it gives its file up: another process was faster.
// - A thread of the owner sets the file's time at each beat, and looks for the file. If another
//   owner took over meanwhile, require() throws, and this process must write no more. If the
//   folder was moved or removed, the lock is made again with the folder.
// - An owner on the same machine (boot and process namespace) is dead if its process is gone.
// - Any other owner is dead after `takeover` seconds without a beat. The file's time is
// compared
//   with that of a new file in its folder, and `watch` seconds are watched in any case, since
//   clocks may differ.
// - A lock that was moved or copied along with its folder counts as dead: it names another
//   folder.
// - A live owner of the same batch job is one that still dies after a requeue, and is waited
//   for. Any other live owner is an error.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace trireme {

/// Seconds.
struct LockTimes {
  double beat = 5;        ///< between two signs of life
  double watch = 15;      ///< watched at least before a silent owner counts as dead
  double takeover = 120;  ///< silence after which an owner elsewhere counts as dead
};

class OwnerLock {
 public:
  /// Takes the lock STEM.N in an existing folder, and logs whose lock it took over. `subject`
  /// begins messages, such as "save: runs/a". Throws Error that names the owner and the ways
  /// on, if there is one. Throws Error with its errno if the folder can't be written. May wait
  /// for `takeover` seconds.
  OwnerLock(const std::string& stem, std::string subject, const LockTimes& times = {});
  /// Gives the lock back.
  ~OwnerLock();
  OwnerLock(const OwnerLock&) = delete;
  OwnerLock& operator=(const OwnerLock&) = delete;

  /// Throws Error if another process took over. Makes the folder and the lock again if they
  /// were moved or removed. For any thread.
  void require();
  /// Whether another process took over, as far as the last beat knows. Returns at once.
  [[nodiscard]] bool is_lost() const { return lost_; }
  /// The file of the lock.
  [[nodiscard]] std::string path() const;

 private:
  void acquire(const LockTimes& times);
  /// Whether this process got the generation after `before`; 0 stands for a free lock.
  bool take(std::int64_t before);
  bool create(std::int64_t generation);
  [[nodiscard]] std::string text() const;
  /// Sets the file's time, or finds who took over. Makes the lock again in an existing folder.
  void beat();
  void beat_until_the_end(double seconds);

  std::string stem_;
  std::string subject_;
  std::string since_;
  std::int64_t generation_ = 0;
  std::mutex mutex_;     ///< guards what follows, and the file
  std::string lost_to_;  ///< who took over
  std::atomic<bool> lost_ = false;
  bool ending_ = false;
  std::condition_variable end_;
  std::thread beats_;
};

}  // namespace trireme
