// SPDX-License-Identifier: Apache-2.0
// Whether somebody looks on: where the launcher passes this process's lines on to.
#pragma once

#include "trireme/core/log.hpp"

namespace trireme {

/// Where a bar can be drawn; no file where it can't. Under a launcher that is an ancestor of
/// this process its own stdout and stderr count: Open MPI gives ranks a terminal of their own
/// as stdout, whatever its output is, and a pipe as stderr. Looked up once; the first call must
/// come before MPI starts.
[[nodiscard]] const log::LivePlace& live_place();

/// Columns of that terminal now; 80 where it doesn't tell.
[[nodiscard]] int live_columns();

}  // namespace trireme
