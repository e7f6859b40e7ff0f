// SPDX-License-Identifier: Apache-2.0
// POSIX shared memory. Names exist only while ranks open the objects. Memory is taken
// after the names are gone. A process that is killed at any moment leaves at most an empty
// name.
#include "trireme/comm/shared_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <random>
#include <sstream>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "trireme/comm/collectively.hpp"

namespace trireme {

namespace {

/// An open shared memory object, with its name until every rank has opened the object.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  ~Object() {
    unlink();
    if (number_ >= 0) close(number_);
  }

  /// Makes a new, empty object. Processes of different machines and containers may have equal
  /// ids; the random part of the name tells these apart.
  void create() {
    const std::string name =
        fmt::format("/trireme-{}-{:08x}", getpid(), std::random_device()());
    number_ = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    TRM_REQUIRE_SYSTEM(number_ >= 0, errno, "cannot create shared memory {}", name);
    name_ = name;
  }
  void open(const std::string& name, int owner) {
    number_ = shm_open(name.c_str(), O_RDWR, 0);
    if (number_ >= 0) return;
    const int reason = errno;
    throw Error(
        fmt::format("cannot open shared memory {} of rank {} of the node: {}; the ranks are on "
                    "several machines, or in containers that don't share /dev/shm",
                    name, owner, std::strerror(reason)),
        reason);
  }
  void unlink() {
    if (!name_.empty()) shm_unlink(name_.c_str());
    name_.clear();
  }
  [[nodiscard]] const std::string& name() const { return name_; }

  /// Free space of the file system; empty if the file system has no limit.
  [[nodiscard]] std::optional<std::uint64_t> free_bytes() const {
    struct statvfs system {};
    if (fstatvfs(number_, &system) != 0 || system.f_blocks == 0) return std::nullopt;
    return system.f_bavail * system.f_frsize;
  }
  /// Takes memory now and returns the error, or 0: a full machine would otherwise end the
  /// process at a later access. Works in steps, each of which can end between two signals.
  [[nodiscard]] int allocate(std::size_t bytes) const {
    constexpr std::size_t kStep = std::size_t{1} << 26U;
    for (std::size_t at = 0; at < bytes;) {
      const std::size_t step = std::min(kStep, bytes - at);
      const int error =
          posix_fallocate(number_, static_cast<off_t>(at), static_cast<off_t>(step));
      if (error == EINTR) continue;
      if (error != 0) return error;
      at += step;
    }
    return 0;
  }
  [[nodiscard]] std::byte* map(std::size_t bytes) const {
    void* const address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, number_, 0);
    TRM_REQUIRE_SYSTEM(address != MAP_FAILED, errno, "cannot map {} bytes of shared memory",
                       bytes);
    return static_cast<std::byte*>(address);
  }

 private:
  int number_ = -1;
  std::string name_;
};

struct Entry {
  std::string name;
  std::size_t bytes = 0;
};

/// The name and size of every rank's object, by rank.
std::vector<Entry> exchange(Communicator& group, const Entry& mine) {
  const auto lines = group.gather_text(fmt::format("{} {}\n", mine.name, mine.bytes), 0);
  std::istringstream in(group.broadcast_text(fmt::format("{}", fmt::join(lines, "")), 0));
  std::vector<Entry> entries(static_cast<std::size_t>(group.size()));
  for (Entry& e : entries) in >> e.name >> e.bytes;
  TRM_CHECK(!in.fail(), "not a list of the parts of {} ranks", group.size());
  return entries;
}

/// Takes the memory of `mine`. First checks that `free` suffices for all ranks: a request that
/// cannot be met must not fill the machine.
void take(const Object& mine, std::size_t bytes, const std::vector<Entry>& entries,
          std::optional<std::uint64_t> free) {
  std::uint64_t total = 0;
  for (const Entry& e : entries) total += e.bytes;
  const int error = free && total > *free ? ENOSPC : mine.allocate(bytes);
  if (error == 0) return;
  throw Error(
      fmt::format("the {} ranks of a node need {} bytes of shared memory; free in /dev/shm: {} "
                  "({}); enlarge it (in a container: --shm-size), or change "
                  "checkpoint.writers_per_node",
                  entries.size(), total, free ? fmt::format("{}", *free) : "unknown",
                  std::strerror(error)),
      error);
}

}  // namespace

SharedMemory::SharedMemory(Communicator& group, std::size_t bytes) {
  const auto me = static_cast<std::size_t>(group.rank());
  std::vector<Object> objects(static_cast<std::size_t>(group.size()));
  Object& mine = objects[me];
  collectively(group, [&] { mine.create(); });
  const auto free = mine.free_bytes();  // before any rank takes memory
  const std::vector<Entry> entries = exchange(group, {mine.name(), bytes});

  collectively(group, [&] {
    for (std::size_t r = 0; r < objects.size(); ++r) {
      if (r != me) objects[r].open(entries[r].name, static_cast<int>(r));
    }
  });
  mine.unlink();

  collectively(group, [&] {
    take(mine, bytes, entries, free);
    for (std::size_t r = 0; r < objects.size(); ++r) {
      const std::size_t n = entries[r].bytes;
      parts_.emplace_back(n > 0 ? objects[r].map(n) : nullptr, Unmap{n});
    }
    // Touch the pages, so that later copies find every page in place.
    if (bytes > 0) std::memset(parts_[me].get(), 0, bytes);
  });
}

std::byte* SharedMemory::part(int rank) const {
  return parts_.at(static_cast<std::size_t>(rank)).get();
}

std::size_t SharedMemory::bytes(int rank) const {
  return parts_.at(static_cast<std::size_t>(rank)).get_deleter().bytes;
}

void SharedMemory::Unmap::operator()(std::byte* address) const { munmap(address, bytes); }

}  // namespace trireme
