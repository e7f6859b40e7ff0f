// SPDX-License-Identifier: Apache-2.0
// Connects the watch over waits with the log and with the end of all ranks.
#include "hang.hpp"

#include <chrono>
#include <filesystem>
#include <random>
#include <thread>
#include <unistd.h>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/engine.hpp"

#include "exit_codes.hpp"

namespace trireme {

namespace {

/// Other threads of this process hang, so that MPI's own end may hang too.
[[noreturn]] void end_now() {
  std::thread([] {
    std::this_thread::sleep_for(std::chrono::seconds(5));
    _exit(kHung);
  }).detach();
  abort_all_ranks(kHung);
}

constexpr const char* kNotes = "/.waits-";

/// Notes of ranks that were killed while they wrote them. This run owns the folder.
void remove_old_notes(const std::string& run_folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(run_folder, error)) {
    if (entry.path().filename().string().starts_with(kNotes + 1)) old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove_all(path, error);
}

}  // namespace

std::unique_ptr<HangWatch> watch_for_hangs(const Deck& deck, Communicator& world) {
  if (deck.comm_timeout == 0 || world.size() == 1) return nullptr;
  std::string folder;
  if (!deck.run_folder().empty()) {
    const std::string mark =
        world.broadcast_text(fmt::format("{:08x}", std::random_device{}()), 0);
    folder = deck.run_folder() + kNotes + mark;
    if (world.rank() == 0) remove_old_notes(deck.run_folder());
  }
  return std::make_unique<HangWatch>(
      HangWatch::Options{.timeout = deck.comm_timeout,
                         .folder = folder,
                         .rank = world.rank(),
                         .ranks = world.size(),
                         .host = host_name(),
                         .say = [](const std::string& line) { log::warn("{}", line); },
                         .end = end_now});
}

}  // namespace trireme
