// SPDX-License-Identifier: Apache-2.0
// A section: the text between two added tokens, or between such a token and an end of the
// input.
#pragma once

namespace trireme {

struct Section {
  bool first = true;       ///< begins at the very beginning of the input
  bool continued = false;  ///< its beginning was encoded before: nothing is put in front
};

}  // namespace trireme
