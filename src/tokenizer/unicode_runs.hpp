// SPDX-License-Identifier: Apache-2.0
// The general category of every code point.
#pragma once

#include <string_view>

namespace trireme {

/// Made by test/support/tokenizers/make_unicode.py.
extern const std::string_view kUnicodeRuns;

}  // namespace trireme
