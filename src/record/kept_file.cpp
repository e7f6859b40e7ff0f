// SPDX-License-Identifier: Apache-2.0
// Copies a file from its descriptor, which outlives its name.
#include "kept_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/core/replacement.hpp"

namespace trireme {

KeptFile::~KeptFile() {
  if (file_ >= 0) close(file_);
}

void KeptFile::keep(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return;  // the earlier one is better than none
  if (file_ >= 0) close(file_);
  file_ = file;
}

bool KeptFile::restore(const std::string& path) const {
  struct stat status {};
  if (file_ < 0 || lstat(path.c_str(), &status) == 0 || errno != ENOENT) return false;
  int reason = make_folder_of(path);
  TRM_REQUIRE_SYSTEM(reason == 0, reason, "{}: cannot make its folder again", path);
  Replacement copy(path);
  const int to = open(copy.temporary().c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  reason = to < 0 ? errno : copy_bytes(file_, to);
  if (to >= 0) close(to);
  TRM_REQUIRE_SYSTEM(reason == 0, reason, "{}: cannot write", path);
  copy.commit(Durability::process);
  return true;
}

}  // namespace trireme
