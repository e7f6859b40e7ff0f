// SPDX-License-Identifier: Apache-2.0
// The command line.
#pragma once

namespace trireme {

/// Runs a command. 0: done; 1: an error, told in one line on stderr by one rank, or two
/// checkpoints that differ; 75: stopped early, with a checkpoint to go on from.
int run_program(int argc, char** argv);

}  // namespace trireme
