// SPDX-License-Identifier: Apache-2.0
// The ranks of the test program, a folder that they share, and saves by all of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/saver.hpp"
#include "trireme/comm/mpi.hpp"

#include "../support/temporary_folder.hpp"
#include "arrays.hpp"

namespace trireme::test {

inline Communicator& world() {
  static const auto comm = world_communicator();
  return *comm;
}
inline int ranks() { return world().size(); }
inline int me() { return world().rank(); }
inline bool last() { return me() == ranks() - 1; }

/// Rank 0 makes the folder, all ranks know its path, and the folder is removed after use.
class SharedFolder {
 public:
  SharedFolder() {
    if (me() == 0) mine_ = std::make_unique<TemporaryFolder>(memory_folder());
    path_ = world().broadcast_text(me() == 0 ? *mine_ / "" : "", 0);
  }
  ~SharedFolder() { world().barrier(); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + name; }

 private:
  std::unique_ptr<TemporaryFolder> mine_;
  std::string path_;
};

/// Rank 0 calls f; all ranks wait until f is done.
template <class F>
void once(F f) {
  world().barrier();
  if (me() == 0) f();
  world().barrier();
}

/// Saves `arrays` and waits. No rank touches the folder before all ranks have the report.
inline SaveReport save(const SaveOptions& options, const std::vector<Array>& arrays, Cut cut,
                       std::int64_t iteration) {
  const auto parts = parts_of(arrays, cut, ranks());
  const Memory memory(arrays, parts, me());
  CheckpointSaver saver(options, memory.held(), std::nullopt, world());
  saver.start(some_state(iteration));
  const auto report = saver.wait();
  BOOST_REQUIRE(report.has_value());
  BOOST_TEST(report->failure == world().broadcast_text(report->failure, 0));
  return *report;
}
inline SaveReport save(const std::string& folder, const std::vector<Array>& arrays, Cut cut,
                       std::int64_t iteration) {
  SaveOptions options;
  options.folder = folder;
  return save(options, arrays, cut, iteration);
}

/// The message of the Error that `f` throws on every rank, equal on all ranks.
inline std::string error_of_all(const std::function<void()>& f) {
  std::string message;
  try {
    f();
  } catch (const Error& e) {
    message = e.what();
    BOOST_TEST(e.everywhere());
  }
  BOOST_TEST(!message.empty());
  const std::string first = world().broadcast_text(message, 0);
  BOOST_TEST(message == first);
  return first;
}

}  // namespace trireme::test
