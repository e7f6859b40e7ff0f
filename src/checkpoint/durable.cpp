// SPDX-License-Identifier: Apache-2.0
// POSIX calls behind durable replacement.
#include "durable.hpp"

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"

namespace trireme::checkpoint {

namespace {

namespace fs = std::filesystem;

/// Swaps two names. False where the system or the file system can't do so.
bool swap_names(const std::string& a, const std::string& b) {
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
  sync_to_disk(parent);
}

void remove_all(const std::string& path) {
  std::error_code code;
  fs::remove_all(path, code);
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot remove", path);
}

void start_sync(const std::string& path) {
#ifdef SYNC_FILE_RANGE_WRITE
  // A hint: sync_to_disk() reports what fails here.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
  close(file);
#endif
}

std::string replace_folder(const std::string& temporary, const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  const std::string old = path + ".old";
  std::error_code code;
  std::string replaced;
  // A link that leads nowhere has the name, too.
  if (!fs::exists(fs::symlink_status(path, code))) {
    rename_path(temporary, path);
    if (fs::exists(fs::symlink_status(old, code))) replaced = old;
  } else if (swap_names(temporary, path)) {
    replaced = temporary;
  } else {
    remove_all(old);
    rename_path(path, old);
    rename_path(temporary, path);
    replaced = old;
  }
  sync_to_disk(parent);
  return replaced;
}

}  // namespace trireme::checkpoint
