// SPDX-License-Identifier: Apache-2.0
// `trireme inspect` of a token file.
#pragma once

#include <string>

namespace trireme {

/// Prints to stdout what a token file holds. `verify`: reads every byte against its checksums.
/// Throws Error for other files and damaged ones, and where `verify` finds no checksums.
void inspect_tokens(const std::string& path, bool verify);

}  // namespace trireme
