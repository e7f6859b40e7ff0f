// SPDX-License-Identifier: Apache-2.0
// PNG and JPEG files, decoded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

struct Picture {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t channels = 0;  ///< 1: grey, 3: red, green and blue
  std::vector<std::uint8_t> bytes{};
};

inline constexpr std::int64_t kMostPictureBytes = std::int64_t{1} << 28U;

/// Decodes a PNG or JPEG file by its content. What is transparent becomes black. Throws Error
/// that begins with `path` if the file is damaged or of another form. Without the library that
/// decodes a form, its files are refused too.
[[nodiscard]] Picture read_picture(const std::string& path);

}  // namespace trireme
