// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of this process: any number of them without MPI.
#pragma once

#include <functional>
#include <string>

#include "trireme/comm/communicator.hpp"

namespace trireme::test {

/// Runs `f` as each of `ranks` ranks of one group, which has host values, texts, broadcasts,
/// barriers and splits. Returns the first message of a rank that threw; empty if none did. All
/// must throw then, or none, or it never ends.
std::string as_ranks(int ranks, const std::function<void(Communicator&)>& f);

}  // namespace trireme::test
