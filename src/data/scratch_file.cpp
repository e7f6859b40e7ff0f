// SPDX-License-Identifier: Apache-2.0
// Files without a name.
#include "scratch_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"

namespace trireme {

namespace {

int open_nameless(const std::string& folder) {
  const int file = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  // Many parallel file systems have no files without a name. The name is one that the next
  // start removes if this process dies right here.
  const std::string path = temporary_name(folder + "/scratch", process_mark());
  const int named = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (named >= 0) unlink(path.c_str());
  return named;
}

}  // namespace

ScratchFile::ScratchFile(const std::string& folder)
    : folder_(folder), file_(open_nameless(folder)) {
  TRM_REQUIRE_SYSTEM(file_ >= 0, errno, "{}: cannot make a temporary file in this folder",
                     folder_);
}

ScratchFile::~ScratchFile() { close(file_); }

std::int64_t ScratchFile::append(std::string_view bytes) {
  const std::int64_t offset = bytes_;
  while (!bytes.empty()) {
    const ssize_t n = pwrite(file_, bytes.data(), bytes.size(), bytes_);
    if (n < 0 && errno == EINTR) continue;
    TRM_REQUIRE_SYSTEM(n > 0, n < 0 ? errno : ENOSPC,
                       "{}: cannot write a temporary file of {} bytes in this folder", folder_,
                       bytes_);
    bytes.remove_prefix(static_cast<std::size_t>(n));
    bytes_ += n;
  }
  return offset;
}

std::string ScratchFile::read(std::int64_t offset, std::int64_t bytes) const {
  std::string text(static_cast<std::size_t>(bytes), '\0');
  std::int64_t done = 0;
  while (done < bytes) {
    const ssize_t n =
        pread(file_, text.data() + done, static_cast<std::size_t>(bytes - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    TRM_REQUIRE_SYSTEM(n > 0, n < 0 ? errno : EIO, "{}: cannot read a temporary file", folder_);
    done += n;
  }
  return text;
}

}  // namespace trireme
