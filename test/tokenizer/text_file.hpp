// SPDX-License-Identifier: Apache-2.0
// Small files for tests.
#pragma once

#include <fstream>
#include <string>

#include "../support/temporary_folder.hpp"

namespace trireme::test {

/// Writes a file, and returns its path.
inline std::string write_text(const TemporaryFolder& folder, const std::string& name,
                              const std::string& text) {
  std::ofstream(folder / name, std::ios::binary) << text;
  return folder / name;
}

}  // namespace trireme::test
