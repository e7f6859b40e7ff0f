// SPDX-License-Identifier: Apache-2.0
// The folder of a run: deck.yml, environment.txt and log.txt beside what others write there.
#pragma once

#include <string>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Makes the folders of `run_dir` and `save`, and proves that files can be made in them. Rank
/// 0. Throws Error that names folder, key and reason.
void make_folders(const Deck& deck);

/// The log is kept in the run's folder from here on, with what was said since log::hold().
/// On every rank.
void keep_log(const Deck& deck);

/// deck.yml anew and environment.txt with one more start at its end. Rank 0. Where there is no
/// room, a warning says so and the run goes on. A deck.yml that isn't ours stays, and the
/// resolved deck becomes deck.resolved.yml.
void write_start_files(const Deck& deck, const std::string& environment);

}  // namespace trireme
