// SPDX-License-Identifier: Apache-2.0
// Any thread may use the library, and on no thread does HDF5 print.
#include <filesystem>
#include <fstream>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "trireme/h5/file.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme::h5;
using trireme::test::error_of;
using trireme::test::TemporaryFolder;

BOOST_AUTO_TEST_CASE(errors_of_other_threads_leave_stderr_alone) {
  const TemporaryFolder folder;
  { File(folder / "a.h5", Mode::create); }
  std::filesystem::resize_file(folder / "a.h5", 100);
  std::string message;
  const int before = dup(STDERR_FILENO);
  BOOST_REQUIRE(freopen((folder / "stderr").c_str(), "w", stderr) != nullptr);
  std::thread([&] {
    message = error_of([&] { const File file(folder / "a.h5", Mode::read); });
  }).join();
  (void)fflush(stderr);
  BOOST_REQUIRE(dup2(before, STDERR_FILENO) >= 0);
  close(before);
  TRM_TEST_MENTIONS(message, "cannot open");
  BOOST_TEST(std::filesystem::file_size(folder / "stderr") == 0U);
}
