// SPDX-License-Identifier: Apache-2.0
// Messages for people, by spdlog: to the terminal or its stand-in, and to a run's log.txt.
#pragma once

#include <cstdio>
#include <string>

#include <spdlog/spdlog.h>

namespace trireme::log {

using spdlog::info;  ///< rank 0 only, to stdout
using spdlog::warn;  ///< any rank, to stderr: "warning: …", "warning (rank 3 on node7): …"

/// Call once, after MPI starts.
void start(int rank, const std::string& host);
/// Rank 0 remembers its lines from here on, until keep() has a place for them.
void hold();
/// All lines go to this file too, those remembered first ("": nowhere). Rank 0 makes it where
/// it isn't there; other ranks add to what is there. Where that fails, one warning is all, and
/// each line is tried anew.
void keep(const std::string& path);
/// A line for the file alone.
void note(const std::string& line);
/// The program's last word, "trireme: error: …" on stderr; before start() too. `over_bar`: on a
/// terminal, where another rank's live line may stand.
void error(const std::string& message, bool over_bar = false);

/// Where a line that changes (a bar) is drawn: `file` ends on a terminal, and so do stdout and
/// stderr where these are true.
struct LivePlace {
  std::FILE* file = nullptr;
  bool out = false;
  bool err = false;
};
/// Draws `line` in the place of the one before; messages scroll above it. It never reaches the
/// kept file.
void show(const LivePlace& place, const std::string& line);
/// Takes it away.
void hide();

}  // namespace trireme::log
