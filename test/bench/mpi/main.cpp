// SPDX-License-Identifier: Apache-2.0
// Main of a test program whose engines need the session; the worst exit code of all ranks is
// everyone's.
#include <boost/test/unit_test.hpp>

#include "session.hpp"

namespace {
trireme::MpiSession* running = nullptr;
}  // namespace

const trireme::MpiSession& trireme::test::session() { return *running; }

int main(int argc, char** argv) {
  trireme::MpiSession mpi(argc, argv);
  running = &mpi;
  const int code = boost::unit_test::unit_test_main([] { return true; }, argc, argv);
  return static_cast<int>(mpi.world().reduce_count(code, trireme::Reduction::max));
}
