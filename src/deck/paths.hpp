// SPDX-License-Identifier: Apache-2.0
// Paths in decks: what a shell would replace is replaced.
#pragma once

#include <functional>
#include <string>

#include "fold.hpp"

namespace trireme::deck {

/// Replaces `~` and `~user` at the beginning, and `$NAME` and `${NAME}` anywhere; `$$` becomes
/// a dollar sign. `environment` gives a variable's value or null. Throws Error that says why
/// where a variable or a user is unknown, or the path has a NUL.
[[nodiscard]] std::string expand_path(
    const std::string& path, const std::function<const char*(const char*)>& environment);

/// The text that expand_path() turns into `path`.
[[nodiscard]] std::string with_dollars_kept(const std::string& path);

/// Expands every path of the draft. Throws Error with the value's source and line.
void expand_paths(const Settings& settings, Draft& draft);

}  // namespace trireme::deck
