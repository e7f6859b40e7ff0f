// SPDX-License-Identifier: Apache-2.0
// Finds the terminal behind this process's output.
#include "trireme/host/terminal.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

#include "trireme/comm/launcher.hpp"

namespace trireme {

namespace {

/// Programs that start ranks and pass on their output.
constexpr std::array<std::string_view, 7> kLaunchers = {
    "mpirun", "mpiexec", "orterun", "prterun", "prte", "mpiexec.hydra", "hydra_pmi_proxy"};

struct Process {
  std::string name;
  int parent = 0;
};

/// Parses /proc/PID/stat, "PID (NAME) STATE PARENT …". The parent is 0 if the file can't be
/// read.
Process look_at(int id) {
  std::ifstream file(fmt::format("/proc/{}/stat", id));
  std::string line;
  std::getline(file, line);
  const auto open = line.find('(');
  const auto close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 4 > line.size()) {
    return {};
  }
  return {line.substr(open + 1, close - open - 1), std::atoi(line.c_str() + close + 3)};
}

/// The topmost launcher above this process; 0 if there is none.
int find_launcher() {
  int found = 0;
  int id = getppid();
  for (int i = 0; i < 32 && id > 1; ++i) {
    const Process process = look_at(id);
    const bool launcher = std::ranges::find(kLaunchers, process.name) != kLaunchers.end();
    if (launcher) found = id;
    if (found != 0 && !launcher) break;
    id = process.parent;
  }
  return found;
}

struct Ends {
  log::LivePlace place;
  int out = -1;  ///< descriptors to query for the terminal's size
  int err = -1;
};

Ends find_ends() {
  Ends ends;
  const char* term = std::getenv("TERM");
  if (term == nullptr || *term == '\0' || std::string_view(term) == "dumb") return ends;
  ends.out = STDOUT_FILENO;
  ends.err = STDERR_FILENO;
  if (launched_rank(std::getenv)) {
    const int launcher = find_launcher();
    if (launcher == 0) return ends;
    const auto end_of = [&](int fd) {
      return open(fmt::format("/proc/{}/fd/{}", launcher, fd).c_str(),
                  O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    };
    ends.out = end_of(STDOUT_FILENO);
    ends.err = end_of(STDERR_FILENO);
  }
  ends.place.out = isatty(ends.out) != 0;
  ends.place.err = isatty(ends.err) != 0;
  ends.place.file = ends.place.out ? stdout : ends.place.err ? stderr : nullptr;
  return ends;
}

const Ends& ends() {
  static const Ends found = find_ends();
  return found;
}

}  // namespace

const log::LivePlace& live_place() { return ends().place; }

int live_columns() {
  winsize size{};
  const int end = ends().place.out ? ends().out : ends().err;
  return ioctl(end, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace trireme
