// SPDX-License-Identifier: Apache-2.0
// What users name as decks by mistake.
#pragma once

#include <string>
#include <vector>

namespace trireme {

/// Throws Error for a name that is a setting without --set, a text for `prepare`, or a token
/// file. The Error says what to type instead. Only names count, so that all ranks agree.
void check_deck_files(const std::string& command, const std::vector<std::string>& files);

}  // namespace trireme
