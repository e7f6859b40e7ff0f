// SPDX-License-Identifier: Apache-2.0
// POSIX calls behind durable replacement.
#include "durable.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "trireme/core/error.hpp"

namespace trireme::checkpoint {

namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : number_(open(path.c_str(), flags, 0666)) {
    TRM_REQUIRE_SYSTEM(number_ >= 0, errno, "{}: cannot open", path);
  }
  ~Descriptor() { close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

void sync(const Descriptor& file, const std::string& path) {
  TRM_REQUIRE_SYSTEM(fsync(file.number()) == 0, errno, "{}: cannot write to disk", path);
}

/// False where the system or the file system can't.
bool exchange(const std::string& a, const std::string& b) {
#ifdef RENAME_EXCHANGE
  return renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
#else
  return a == b;
#endif
}

}  // namespace

void make_folder(const std::string& path) {
  std::error_code code;
  if (fs::is_directory(path, code)) return;
  const std::string parent = fs::absolute(path).parent_path().string();
  if (!fs::exists(parent, code)) make_folder(parent);
  fs::create_directory(path, code);
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot create the folder", path);
  sync(parent);
}

void rename(const std::string& from, const std::string& to) {
  TRM_REQUIRE_SYSTEM(std::rename(from.c_str(), to.c_str()) == 0, errno,
                     "{}: cannot rename to {}", from, to);
}

void remove_all(const std::string& path) {
  std::error_code code;
  fs::remove_all(path, code);
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot remove", path);
}

void sync(const std::string& path) { sync(Descriptor(path, O_RDONLY | O_CLOEXEC), path); }

void start_sync(const std::string& path) {
#ifdef SYNC_FILE_RANGE_WRITE
  // A hint: what fails here is told by sync().
  sync_file_range(Descriptor(path, O_RDONLY | O_CLOEXEC).number(), 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
}

void replace_text(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t n = ::write(file.number(), text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      TRM_REQUIRE_SYSTEM(n > 0, errno, "{}: cannot write", temporary);
      done += static_cast<std::size_t>(n);
    }
    sync(file, temporary);
  }
  rename(temporary, path);
  sync(fs::path(path).parent_path().string());
}

std::string replace_folder(const std::string& temporary, const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  const std::string old = path + ".old";
  std::error_code code;
  std::string replaced;
  if (!fs::exists(path, code)) {
    rename(temporary, path);
    if (fs::exists(old, code)) replaced = old;
  } else if (exchange(temporary, path)) {
    replaced = temporary;
  } else {
    remove_all(old);
    rename(path, old);
    rename(temporary, path);
    replaced = old;
  }
  sync(parent);
  return replaced;
}

}  // namespace trireme::checkpoint
