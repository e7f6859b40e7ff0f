// SPDX-License-Identifier: Apache-2.0
// A file that stays readable while its run goes on, even if its folder is moved or removed.
#pragma once

#include <string>

namespace trireme {

class KeptFile {
 public:
  KeptFile() = default;
  ~KeptFile();
  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  /// Keeps what stands at `path` now, instead of what was kept before.
  void keep(const std::string& path);
  /// Where nothing stands at `path` any more: makes the folder, and a file with the content of
  /// the kept one. Returns whether a file was made. Throws Error.
  bool restore(const std::string& path) const;

 private:
  int file_ = -1;
};

}  // namespace trireme
