// SPDX-License-Identifier: Apache-2.0
// Names and units of the columns of metrics.h5, and how columns grow.
#pragma once

#include <string>
#include <vector>

#include "trireme/h5/file.hpp"

namespace trireme {

/// Gives every column that lacks them the attributes `long_name` and `unit`. A pure number has
/// the unit "1".
void describe_columns(h5::File& file);

constexpr h5::DatasetOptions kColumn{.extendable = true, .chunk = 1024};

/// Appends values to a column of i64 or f64.
void append(h5::Group& file, const std::string& name, DType type,
            const std::vector<double>& values);
/// Appends a value to a column of f64 that may begin later than the column `beside`, which has
/// the new row already. Earlier rows are NaN. A column isn't begun with NaN.
void append_late(h5::Group& file, const std::string& name, const std::string& beside,
                 double value);

}  // namespace trireme
