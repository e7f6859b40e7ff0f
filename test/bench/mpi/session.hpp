// SPDX-License-Identifier: Apache-2.0
// The session that main() has begun.
#pragma once

#include "trireme/comm/mpi.hpp"

namespace trireme::test {

[[nodiscard]] const MpiSession& session();

}  // namespace trireme::test
