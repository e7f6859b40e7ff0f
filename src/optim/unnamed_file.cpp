// SPDX-License-Identifier: Apache-2.0
// System calls on files without a name.
#include "unnamed_file.hpp"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"

namespace trireme::optim {

namespace {

constexpr const char* kKey = "zero_optimization.offload_optimizer.nvme_path";

bool unsupported(int error) {
  return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOSYS;
}

}  // namespace

int open_unnamed(const std::string& folder, int rank) {
  struct stat facts {};
  TRM_REQUIRE_SYSTEM(stat(folder.c_str(), &facts) == 0, errno,
                     "{}: {} cannot be reached; name a folder of a local disk", kKey, folder);
  TRM_REQUIRE(S_ISDIR(facts.st_mode), "{}: {} is not a folder; name one of a local disk", kKey,
              folder);
#ifdef O_TMPFILE
  int file = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  const bool try_name = unsupported(errno);
#else
  int file = -1;
  const bool try_name = true;
#endif
  TRM_REQUIRE_SYSTEM(try_name, errno, "{}: cannot write in the folder {}", kKey, folder);
  static std::atomic<int> number = 0;
  const std::string name =
      fmt::format("{}/.trireme-state-{}-{}-{}", folder, process_mark(), rank, number++);
  file = open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  TRM_REQUIRE_SYSTEM(file >= 0, errno, "{}: cannot write in the folder {}", kKey, folder);
  unlink(name.c_str());
  return file;
}

void reserve(int file, std::int64_t bytes, const std::string& folder) {
  int failed = fallocate(file, 0, 0, bytes) == 0 ? 0 : errno;
  if (unsupported(failed)) failed = ftruncate(file, bytes) == 0 ? 0 : errno;
  TRM_REQUIRE_SYSTEM(failed == 0, failed,
                     "{}: no room in {} for {:.1f} MB of one rank's optimizer state; free "
                     "space, name another folder, or use more ranks",
                     kKey, folder, static_cast<double>(bytes) * 1e-6);
}

bool use_direct_io(int file, std::byte* memory, std::size_t page) {
#ifdef O_DIRECT
  const int flags = fcntl(file, F_GETFL);
  if (flags < 0 || fcntl(file, F_SETFL, flags | O_DIRECT) != 0) return false;
  if (pread(file, memory, page, 0) >= 0) return true;
  fcntl(file, F_SETFL, flags);
#endif
  return false;
}

}  // namespace trireme::optim
