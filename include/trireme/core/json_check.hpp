// SPDX-License-Identifier: Apache-2.0
// A check of JSON that comes from outside: one meaning for each text, and bounded depth.
#pragma once

#include <string_view>

namespace trireme {

/// Throws Error that says what is wrong with a text, and names no file. Wrong is what is no
/// JSON, a number out of range, and a key that stands twice in an object. So are more than
/// `most_depth` objects and arrays within each other. Takes linear time.
void check_json(std::string_view text, int most_depth);

}  // namespace trireme
