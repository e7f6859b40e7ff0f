// SPDX-License-Identifier: Apache-2.0
// Looks at paths before they are opened.
#include "trireme/core/regular_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

std::string kind_in_words(mode_t mode) {
  if (S_ISREG(mode)) return {};
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

std::string other_kind(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return {};
  return kind_in_words(status.st_mode);
}

void require_file(const std::string& path) {
  struct stat status {};
  TRM_REQUIRE_SYSTEM(stat(path.c_str(), &status) == 0, errno, "{}: cannot open", path);
  require_file_or_nothing(path);
}

void require_file_or_nothing(const std::string& path) {
  const std::string kind = other_kind(path);
  TRM_REQUIRE(kind.empty(), "{}: cannot open: it is {}", path, kind);
}

std::string read_file(const std::string& path, std::int64_t most_bytes) {
  require_file(path);
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  TRM_REQUIRE_SYSTEM(in.good(), errno, "{}: cannot be read", path);
  const std::streamoff bytes = in.tellg();
  TRM_REQUIRE(bytes >= 0 && bytes <= most_bytes,
              "{}: {} bytes are too many; at most {} are read", path, bytes, most_bytes);
  std::string text(static_cast<std::size_t>(bytes), '\0');
  in.seekg(0);
  in.read(text.data(), bytes);
  TRM_REQUIRE_SYSTEM(!in.bad(), errno, "{}: cannot be read", path);
  TRM_REQUIRE(in.gcount() == bytes, "{}: the file ends early", path);
  return text;
}

int append_text(const std::string& path, const std::string& text, bool create,
                std::size_t& written) {
  written = 0;
  if (!other_kind(path).empty()) return EINVAL;
  const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | (create ? O_CREAT : 0);
  const int file = open(path.c_str(), flags, 0666);
  if (file < 0) return errno;
  struct stat status {};
  int reason = fstat(file, &status) != 0 ? errno : S_ISREG(status.st_mode) ? 0 : EINVAL;
  if (reason == 0) {
    const ssize_t bytes = write(file, text.data(), text.size());
    if (bytes < 0) reason = errno;
    if (bytes > 0) written = static_cast<std::size_t>(bytes);
    if (reason == 0 && written < text.size()) reason = ENOSPC;
  }
  close(file);
  return reason;
}

int make_folder_of(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(folder_of(path), code);
  return code.value();
}

std::string folder_of(const std::string& path) {
  std::error_code code;
  return std::filesystem::absolute(path, code).parent_path().string();
}

int copy_bytes(int from, int to) {
  std::vector<char> block(std::size_t{1} << 16U);
  for (off_t at = 0;;) {
    const ssize_t n = pread(from, block.data(), block.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return 0;
    for (ssize_t done = 0; done < n;) {
      const ssize_t more = write(to, block.data() + done, static_cast<std::size_t>(n - done));
      if (more < 0 && errno == EINTR) continue;
      if (more <= 0) return more < 0 ? errno : ENOSPC;
      done += more;
    }
    at += n;
  }
}

}  // namespace trireme
