// SPDX-License-Identifier: Apache-2.0
// How much of each unit trains: what backward computes, reduces and updates.
#pragma once

#include <vector>

#include "trireme/model/config.hpp"

namespace trireme {

/// The shares of each unit's parameters that train, from 0 to 1.
[[nodiscard]] std::vector<double> trained_shares(const ModelConfig& m);

}  // namespace trireme
