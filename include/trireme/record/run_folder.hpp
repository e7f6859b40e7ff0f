// SPDX-License-Identifier: Apache-2.0
// The folder of a run: deck.yml, environment.txt and log.txt beside what other code writes.
#pragma once

#include <string>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Makes the folders of `run_dir` and `save`, and checks that files can be made there. For rank
/// 0. Throws Error that names folder, key and reason.
void make_folders(const Deck& deck);

/// Keeps the log in the run's folder from here on, with all lines since log::hold(). For every
/// rank.
void keep_log(const Deck& deck);

/// Writes deck.yml anew, and appends this start to environment.txt. For rank 0. A full disk
/// causes a warning, and the run goes on. A deck.yml that trireme did not write stays; the
/// resolved deck then becomes deck.resolved.yml.
void write_start_files(const Deck& deck, const std::string& environment);

}  // namespace trireme
