// SPDX-License-Identifier: Apache-2.0
// Reads files through zlib, which gives bytes that are not packed as they are.
#include "packed_bytes.hpp"

#include <cerrno>
#include <memory>
#include <zlib.h>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"

namespace trireme {

std::vector<std::uint8_t> unpacked_bytes(const std::string& path, std::int64_t most) {
  const std::string kind = other_kind(path);
  TRM_REQUIRE(kind.empty(), "{}: expected a file, but this is {}", path, kind);
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose_r);
  TRM_REQUIRE_SYSTEM(file != nullptr, errno, "{}: cannot open", path);
  constexpr std::size_t kPart = std::size_t{1} << 22U;
  std::vector<std::uint8_t> bytes;
  for (std::size_t filled = 0;;) {
    bytes.resize(filled + kPart);
    const int n = gzread(file.get(), bytes.data() + filled, static_cast<unsigned>(kPart));
    int code = Z_OK;
    const char* const text = gzerror(file.get(), &code);
    TRM_REQUIRE(n >= 0 && (code == Z_OK || code == Z_STREAM_END), "{}: cannot read: {}", path,
                code == Z_BUF_ERROR ? "cut short" : text);
    filled += static_cast<std::size_t>(n);
    TRM_REQUIRE(static_cast<std::int64_t>(filled) <= most,
                "{}: more than the {} bytes that a file of images may have", path, most);
    if (n == 0) {
      bytes.resize(filled);
      return bytes;
    }
  }
}

}  // namespace trireme
