// SPDX-License-Identifier: Apache-2.0
// Finds the terminal, if any, on which this process's output appears.
#pragma once

#include "trireme/core/log.hpp"

namespace trireme {

/// The file on which a bar can be drawn; none if there is no terminal. Under a launcher, the
/// launcher's own stdout and stderr count if it is an ancestor process. Open MPI gives ranks a
/// pseudo-terminal as stdout and a pipe as stderr, wherever its output goes. The result of the
/// first call is kept; make that call before MPI starts.
[[nodiscard]] const log::LivePlace& live_place();

/// Columns of the terminal now; 80 if unknown.
[[nodiscard]] int live_columns();

}  // namespace trireme
