// SPDX-License-Identifier: Apache-2.0
// The folder of a run: deck.yml, environment.txt and log.txt beside what other code writes.
#pragma once

#include <string>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Makes a folder and those above it. Throws Error that names folder, key and reason.
void make_run_folder(const std::string& folder, const char* key);

/// Throws Error if something other than a regular file stands where a run writes a file of its
/// own, such as log.txt.
void require_places_of_files(const Deck& deck);

/// Whether a file is a resolved deck that trireme wrote.
[[nodiscard]] bool is_resolved_deck(const std::string& path);

/// Keeps the log in the run's folder from here on, with all lines since log::hold(). For every
/// rank.
void keep_log(const Deck& deck);

/// Writes deck.yml anew, and appends this start to environment.txt. For rank 0. A full disk
/// causes a warning, and the run goes on. A deck.yml that trireme did not write stays; the
/// resolved deck then becomes deck.resolved.yml.
void write_start_files(const Deck& deck, const std::string& environment);
/// Whether the run's folder was moved or removed since write_start_files(). Makes the folder
/// anew, so that the run can write there again.
[[nodiscard]] bool start_files_are_gone(const Deck& deck);

}  // namespace trireme
