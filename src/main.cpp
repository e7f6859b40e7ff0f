// SPDX-License-Identifier: Apache-2.0
// The program's main function.
#include "trireme/app/program.hpp"

int main(int argc, char** argv) { return trireme::run_program(argc, argv); }
