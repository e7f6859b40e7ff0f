// SPDX-License-Identifier: Apache-2.0
// The program's entry point: command line and exit codes.
#pragma once

namespace trireme {

/// Runs the command that `argv` names, and returns the exit code. 0: done. 1: an error, which
/// one rank prints as one line on stderr, or a difference that verify or inspect found. 75:
/// stopped early, with a checkpoint to resume from.
int run_program(int argc, char** argv);

}  // namespace trireme
