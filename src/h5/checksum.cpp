// SPDX-License-Identifier: Apache-2.0
// XXH3 over memory and files.
#include "trireme/h5/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <xxhash.h>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"

namespace trireme::h5 {

std::uint64_t checksum_of(const void* data, std::size_t bytes) {
  return XXH3_64bits(data, bytes);
}

std::uint64_t checksum_of(const std::string& path, const std::vector<Extent>& extents) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> sum(XXH3_createState(),
                                                                     XXH3_freeState);
  TRM_REQUIRE(sum != nullptr && XXH3_64bits_reset(sum.get()) == XXH_OK,
              "{}: no memory for its checksum", path);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  TRM_REQUIRE_SYSTEM(file.is_open(), errno, "{}: cannot open", path);
  std::vector<char> buffer(1 << 16);
  for (const Extent& e : extents) {
    file.seekg(e.offset);
    for (std::int64_t left = e.bytes; left > 0;) {
      const auto n = std::min(left, static_cast<std::int64_t>(buffer.size()));
      errno = 0;  // a reason tells a failing disk from a damaged file
      if (!file.read(buffer.data(), n)) {
        const int reason = errno;
        throw Error(fmt::format("{}: cannot read {} bytes at {}: {}", path, e.bytes, e.offset,
                                reason != 0 ? std::strerror(reason) : "the file ends before"),
                    reason);
      }
      XXH3_64bits_update(sum.get(), buffer.data(), static_cast<std::size_t>(n));
      left -= n;
    }
  }
  return XXH3_64bits_digest(sum.get());
}

std::int64_t size_of_file(const std::string& path) {
  require_file_or_nothing(path);
  std::error_code code;
  const auto bytes = std::filesystem::file_size(path, code);
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}", path);
  return static_cast<std::int64_t>(bytes);
}

std::vector<Extent> complement(std::vector<Extent> data, std::int64_t bytes) {
  std::ranges::sort(data, {}, &Extent::offset);
  std::vector<Extent> rest;
  std::int64_t at = 0;
  for (const Extent& d : data) {
    if (d.offset > at) rest.push_back({at, d.offset - at});
    at = d.offset + d.bytes;
  }
  if (at < bytes) rest.push_back({at, bytes - at});
  return rest;
}

void require_checksums(std::string_view where, const Rows& rows, std::int64_t block,
                       std::span<const std::int64_t> checksums) {
  const std::int64_t end = rows.first + rows.count;
  for (std::int64_t at = rows.first; at < end; at += block) {
    const auto bytes = static_cast<std::size_t>(std::min(block, end - at) * rows.bytes);
    const std::uint64_t sum = checksum_of(
        static_cast<const std::byte*>(rows.data) + (at - rows.first) * rows.bytes, bytes);
    TRM_REQUIRE(
        std::bit_cast<std::int64_t>(sum) == checksums[static_cast<std::size_t>(at / block)],
        "{}: damaged: rows {} to {} don't have the checksum that was noted when they were "
        "written",
        where, at, std::min(at + block, end) - 1);
  }
}

}  // namespace trireme::h5
