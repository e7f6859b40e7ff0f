// SPDX-License-Identifier: Apache-2.0
// Reads by pread(), which threads may call at once.
#include "trireme/data/binary_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/h5/checksum.hpp"

namespace trireme {

BinaryFile::BinaryFile(const std::string& path) : path_(path), file_(-1) {
  require_file(path);
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  TRM_REQUIRE_SYSTEM(file_ >= 0, errno, "{}: cannot open", path);
  struct stat status {};
  const int failed = fstat(file_, &status) == 0 ? 0 : errno;
  if (failed != 0) close(file_);
  TRM_REQUIRE_SYSTEM(failed == 0, failed, "{}: cannot read its size", path);
  bytes_ = status.st_size;
}

BinaryFile::~BinaryFile() { close(file_); }

void BinaryFile::read(std::int64_t offset, void* to, std::int64_t count) const {
  TRM_CHECK(offset >= 0 && count >= 0, "{}: {} bytes at {}", path_, count, offset);
  std::int64_t done = 0;
  while (done < count) {
    const auto n = pread(file_, static_cast<std::byte*>(to) + done,
                         static_cast<std::size_t>(count - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    TRM_REQUIRE_SYSTEM(n >= 0, errno, "{}: cannot read", path_);
    TRM_REQUIRE(n > 0, "{}: the file ends at byte {}, within what is to be read", path_,
                offset + done);
    done += n;
  }
}

std::uint64_t BinaryFile::sampled_hash() const {
  constexpr std::int64_t kParts = 64;
  constexpr std::int64_t kPart = 4096;
  std::vector<std::uint64_t> sums{static_cast<std::uint64_t>(bytes_)};
  std::array<std::byte, kPart> part{};
  const std::int64_t last = std::max<std::int64_t>(bytes_ - kPart, 0);
  for (std::int64_t i = 0; i < kParts; ++i) {
    const std::int64_t at = last / (kParts - 1) * i + last % (kParts - 1) * i / (kParts - 1);
    const std::int64_t count = std::min(kPart, bytes_ - at);
    read(at, part.data(), count);
    sums.push_back(h5::checksum_of(part.data(), static_cast<std::size_t>(count)));
  }
  return h5::checksum_of(sums.data(), sums.size() * sizeof(sums[0]));
}

}  // namespace trireme
