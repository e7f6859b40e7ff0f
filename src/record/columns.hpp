// SPDX-License-Identifier: Apache-2.0
// Names and units of the columns of metrics.h5.
#pragma once

#include "trireme/h5/file.hpp"

namespace trireme {

/// Gives every column that lacks them the attributes `long_name` and `unit`. A pure number has
/// the unit "1".
void describe_columns(h5::Group& file);

}  // namespace trireme
