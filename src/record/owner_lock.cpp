// SPDX-License-Identifier: Apache-2.0
// Takes, keeps and gives back the lock of an owner.
#include "trireme/record/owner_lock.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <random>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/host/environment.hpp"

#include "lock_file.hpp"

namespace trireme {

namespace {

using lock_file::Life;
using lock_file::Look;

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// A little time, of another length in each process.
void sleep_shortly() {
  static std::minstd_rand draw{std::random_device{}()};
  sleep_for(std::uniform_real_distribution<double>(0.005, 0.03)(draw));
}

/// Watches the lock of an owner of whom this machine knows nothing. Ends when the lock changes
/// or goes, or when the owner was silent for long enough.
Life watch(const std::string& stem, const std::string& path, const Look& first,
           const std::string& subject, const LockTimes& times) {
  const auto there = lock_file::time_there(stem);
  const double silent =
      there ? std::max(0.0, static_cast<double>(*there - first.time_ns) * 1e-9) : 0.0;
  const double wait = std::max(times.watch, times.takeover - silent);
  log::info("lock     {}: the last sign of life of {} is {:.0f} s old; watching for {:.0f} s",
            subject, first.owner.describe(), silent, wait);
  const double begin = now();
  while (now() - begin < wait) {
    sleep_for(std::min(0.5, times.beat / 4));
    const auto look = lock_file::look(path);
    if (!look) return Life::unknown;  // another process took it over, or it was given back
    if (look->text != first.text || look->time_ns != first.time_ns) return Life::alive;
  }
  return Life::dead;
}

/// What is known of a lock's owner now. Watches if nothing is known.
Life judge(const std::string& stem, const std::string& path, const Look& look,
           const std::string& subject, const LockTimes& times) {
  if (lock_file::is_carried_along(path, look)) return Life::dead;
  const Life life = lock_file::life_of(look.owner);
  return life == Life::unknown ? watch(stem, path, look, subject, times) : life;
}

}  // namespace

OwnerLock::OwnerLock(const std::string& stem, std::string subject, const LockTimes& times)
    : stem_(std::filesystem::absolute(stem).lexically_normal().string()),
      subject_(std::move(subject)),
      since_(date_text()) {
  acquire(times);
  // Signals are for the program's other threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  beats_ = std::thread([this, seconds = times.beat] { beat_until_the_end(seconds); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

OwnerLock::~OwnerLock() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  end_.notify_all();
  if (beats_.joinable()) beats_.join();
  const auto mine = failure_of([this] {
    const auto look = lock_file::look(path());
    if (look && look->owner.mark == process_mark()) unlink(path().c_str());
  });
  static_cast<void>(mine);  // a lock that stays is taken over later
}

std::string OwnerLock::path() const { return lock_file::path_of(stem_, generation_); }

void OwnerLock::acquire(const LockTimes& times) {
  constexpr double kDying = 3;  // seconds that a process of this machine gets to end
  const double begin = now();
  bool told = false;
  for (;;) {
    const std::int64_t found = lock_file::highest(stem_);
    if (found == 0) {
      if (take(0)) return;
      sleep_shortly();
      continue;
    }
    const std::string path = lock_file::path_of(stem_, found);
    const auto look = lock_file::look(path);
    if (!look) continue;
    if (look->text.empty() && now() - begin < 1) {  // its owner is about to write it
      sleep_shortly();
      continue;
    }
    const Life life = judge(stem_, path, *look, subject_, times);
    if (life == Life::dead && take(found)) {
      log::info("lock     {}: taken over from {}, which is dead", subject_,
                look->owner.describe());
      return;
    }
    if (life != Life::alive) {
      sleep_shortly();
      continue;
    }
    const std::string job = batch_job();
    const bool requeued = !job.empty() && job == look->owner.job;
    if (now() - begin >= (requeued ? times.takeover : std::min(kDying, times.beat))) {
      throw Error(fmt::format(
          "{} is in use by {}. Wait for its end, or name another place. This start changed "
          "nothing. An owner on another machine counts as dead {:.0f} s after its last sign of "
          "life; its lock is {}",
          subject_, look->owner.describe(), times.takeover, path));
    }
    if (requeued && !std::exchange(told, true)) {
      log::info("lock     {}: waiting for the end of {}, of this job's earlier start", subject_,
                look->owner.describe());
    }
    sleep_for(std::min(0.2, times.beat / 4));
  }
}

bool OwnerLock::take(std::int64_t before) {
  if (!create(before + 1)) return false;
  generation_ = before + 1;
  struct stat status {};
  const std::string earlier = lock_file::path_of(stem_, before);
  const bool first = before == 0 || lstat(earlier.c_str(), &status) == 0;
  if (first && lock_file::highest(stem_) == generation_) {
    if (before > 0) unlink(earlier.c_str());
    return true;
  }
  unlink(path().c_str());
  return false;
}

bool OwnerLock::create(std::int64_t generation) {
  const std::string path = lock_file::path_of(stem_, generation);
  const int file =
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file < 0) {
    const int reason = errno;
    TRM_REQUIRE_SYSTEM(reason == EEXIST, reason, "{}: cannot create", path);
    return false;
  }
  const std::string words = text();
  const bool written =
      write(file, words.data(), words.size()) == static_cast<ssize_t>(words.size());
  const int reason = written ? 0 : errno != 0 ? errno : ENOSPC;
  close(file);
  if (!written) unlink(path.c_str());
  TRM_REQUIRE_SYSTEM(written, reason, "{}: cannot write", path);
  return true;
}

std::string OwnerLock::text() const { return lock_file::this_process(stem_, since_).text(); }

void OwnerLock::beat() {
  if (!lost_to_.empty()) return;
  const auto mine = lock_file::look(path());
  std::error_code code;
  if (!std::filesystem::is_directory(folder_of(stem_), code)) return;  // see require()
  std::int64_t other = lock_file::highest(stem_);
  if (mine && mine->owner.mark == process_mark()) {
    utimensat(AT_FDCWD, path().c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
    if (other <= generation_) return;
    sleep_for(0.1);  // a process that came second gives its file up at once
    other = lock_file::highest(stem_);
    if (other <= generation_) return;
  }
  if (other == 0) {
    create(generation_);  // a user removed the file
    return;
  }
  const auto owner = lock_file::look(lock_file::path_of(stem_, other));
  lost_to_ = owner ? owner->owner.describe() : "another process";
  lost_ = true;
}

void OwnerLock::beat_until_the_end(double seconds) {
  std::unique_lock lock(mutex_);
  while (!end_.wait_for(lock, std::chrono::duration<double>(seconds),
                        [this] { return ending_; })) {
    const auto failure = failure_of([this] { beat(); });
    static_cast<void>(failure);  // a file system that hangs for a while may come back
  }
}

void OwnerLock::require() {
  const std::scoped_lock lock(mutex_);
  const auto failure = failure_of([this] {
    if (make_folder_of(stem_) == 0) beat();
  });
  static_cast<void>(failure);  // the write that follows meets the reason, too
  TRM_REQUIRE(lost_to_.empty(),
              "{} belongs to {} now, which took over after this process gave no sign of life; "
              "this run ends and leaves the files to that one",
              subject_, lost_to_);
}

}  // namespace trireme
