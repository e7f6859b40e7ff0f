// SPDX-License-Identifier: Apache-2.0
// The command line.
#pragma once

namespace trireme {

/// Runs a command. 0: done; 1: an error, told in one line on stderr by one rank.
int run_program(int argc, char** argv);

}  // namespace trireme
