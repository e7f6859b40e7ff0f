// SPDX-License-Identifier: Apache-2.0
// The scripts of code points, as UnicodeScripts distinguishes them.
#pragma once

#include <cstdint>
#include <span>

namespace trireme {

/// Code points of one script: how many lie between the last range and this one, and the number
/// of the script. Code points outside of all ranges are in no script.
struct ScriptRange {
  std::uint32_t gap, size;
  std::uint8_t script;
};

extern const std::span<const ScriptRange> kScriptRanges;

}  // namespace trireme
