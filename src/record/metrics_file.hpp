// SPDX-License-Identifier: Apache-2.0
// metrics.h5 on disk: a seal guards it from damage, and a change never leaves it half made.
#pragma once

#include <functional>
#include <string>

#include "trireme/core/error.hpp"
#include "trireme/h5/file.hpp"

namespace trireme::metrics_file {

using Change = std::function<void(h5::File&)>;

/// Writes a new file, whose content `fill` makes, in the place of any file at `path`.
void create(const std::string& path, const Change& fill);
/// Like create(), but what is at `path` becomes PATH.damaged, or PATH.damaged-2 and so on where
/// such names are taken. Returns that name, or "".
std::string set_aside_and_create(const std::string& path, const Change& fill);

/// Changes the file: below 64 MiB a copy, which then takes its name, and else in place. Checks
/// the seal before HDF5 opens the file, and seals it anew. A file of an earlier version gets a
/// seal. Where a program may have died while it changed the file in place, `even` comes first.
void change(const std::string& path, const Change& even, const Change& change);

/// Whether `reason` is damage of the file, which a later attempt would meet again.
[[nodiscard]] bool is_damage(const std::string& path, const Error& reason);

}  // namespace trireme::metrics_file
