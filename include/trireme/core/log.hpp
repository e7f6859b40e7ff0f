// SPDX-License-Identifier: Apache-2.0
// Logs messages with spdlog: to stdout or stderr, and to a run's log.txt.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include <spdlog/spdlog.h>

namespace trireme::log {

using spdlog::info;  ///< rank 0 only, to stdout
using spdlog::warn;  ///< any rank, to stderr: "warning: …", "warning (rank 3 on node7): …"

/// Call once, after MPI starts.
void start(int rank, const std::string& host);
/// Rank 0 stores its lines from now on, until keep() names a file for them.
void hold();
/// All lines also go to this file, stored lines first; "" means no file. Rank 0 creates the
/// file, and its folder, if they are missing; other ranks only append. If a write fails, one
/// warning is logged. Lines then wait, the last MiB of them, and each later line tries again.
void keep(const std::string& path);
/// The file of keep(); "" if there is none.
[[nodiscard]] std::string file();
/// Whether stdout or stderr is a pipe whose reader has ended, as a line found.
[[nodiscard]] bool output_closed();
/// How much reaches the screen. Quiet shows warnings and errors alone, and no live line; the
/// file keeps all lines. Verbose is asked for by who has more to say.
enum class Loudness : std::uint8_t { quiet, usual, verbose };
void set_loudness(Loudness loudness);
[[nodiscard]] bool is_verbose();
/// From now on each line is a JSON object: time, rank, level, text and, of an event, its
/// fields.
void use_json();
/// Logs a line of rank 0 that other programs read too. `fields` are members of a JSON object,
/// `"iteration": 20, "loss": 1.5`, and appear in JSON alone.
void event(const std::string& text, const std::string& fields);
/// Logs a line to the file alone.
void note(const std::string& line);
/// Prints "trireme: error: …" to stderr. May be called before start(). `over_bar`: first clears
/// the line on which another rank's live line may stand.
void error(const std::string& message, bool over_bar = false);

/// A live line, such as a progress bar, is drawn on `file`, a terminal. `out` and `err` say
/// whether stdout and stderr end on that terminal too.
struct LivePlace {
  std::FILE* file = nullptr;
  bool out = false;
  bool err = false;
};
/// Draws `line` over the previous live line; messages scroll above it. Live lines are not
/// written to the log file.
void show(const LivePlace& place, const std::string& line);
/// Erases the live line.
void hide();

}  // namespace trireme::log
