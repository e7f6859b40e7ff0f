// SPDX-License-Identifier: Apache-2.0
// Bytes through a queue, by both engines and all settings, and what fails.
#include "trireme/io/file_queue.hpp"

#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

#include "../support/temporary_folder.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// A file that is open while this object lives.
struct OpenFile {
  TemporaryFolder folder;
  std::string path = folder / "bytes";
  int number;
  explicit OpenFile(int flags) {
    const int made = ::open(path.c_str(), O_CREAT | O_RDWR, 0600);
    ::close(made);
    number = ::open(path.c_str(), flags);
  }
  ~OpenFile() { ::close(number); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
};

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    data[i] = static_cast<std::byte>((i * 2654435761U + seed) >> 7U);
  }
  return data;
}

std::string failure(const std::function<void()>& f) {
  const auto error = failure_of(f);
  return error ? error->what() : "";
}

const FileQueueSettings kSettings[] = {
    {},
    {.block_size = 1000, .queue_depth = 3},
    {.block_size = 4096, .queue_depth = 1, .single_submit = true},
    {.block_size = 777, .queue_depth = 4, .overlap_events = false},
    {.block_size = 512, .queue_depth = 8, .thread_count = 3},
    {.block_size = 1000, .queue_depth = 3, .thread_count = 2, .uring = false},
    {.queue_depth = 1, .uring = false}};

}  // namespace

BOOST_AUTO_TEST_SUITE(file_queue)

BOOST_DATA_TEST_CASE(bytes_come_back, bdata::xrange(std::size(kSettings)), i) {
  const OpenFile file(O_RDWR);
  FileQueue queue(file.number, "bytes", kSettings[i]);
  BOOST_TEST((queue.engine() == "threads" || queue.engine() == "io_uring"));
  if (!kSettings[i].uring) BOOST_TEST(queue.engine() == "threads");
  constexpr std::size_t kBytes = 100'001;
  const auto first = pattern(kBytes, 1);
  const auto second = pattern(kBytes, 2);
  const auto a = queue.start_write(0, first.data(), kBytes);
  const auto b = queue.start_write(kBytes, second.data(), kBytes);
  queue.wait(b);
  queue.wait(a);
  std::vector<std::byte> back(kBytes);
  std::vector<std::byte> middle(kBytes);
  const auto c = queue.start_read(0, back.data(), kBytes);
  const auto d = queue.start_read(kBytes / 2, middle.data(), kBytes);
  queue.wait(c);
  queue.wait(d);
  BOOST_TEST((back == first));
  BOOST_TEST(std::memcmp(middle.data(), first.data() + kBytes / 2, kBytes - kBytes / 2) == 0);
  BOOST_TEST(std::memcmp(middle.data() + kBytes - kBytes / 2, second.data(), kBytes / 2) == 0);
  queue.wait(queue.start_read(5, nullptr, 0));
  const FileTraffic traffic = queue.traffic();
  BOOST_TEST(traffic.read == 2 * static_cast<std::int64_t>(kBytes));
  BOOST_TEST(traffic.written == 2 * static_cast<std::int64_t>(kBytes));
  BOOST_TEST(traffic.busy > 0);
}

BOOST_DATA_TEST_CASE(failures_have_names, bdata::make({true, false}), uring) {
  const OpenFile file(O_RDONLY);
  FileQueue queue(file.number, "the state", {.block_size = 4096, .uring = uring});
  auto data = pattern(9000, 3);
  const std::string denied =
      failure([&] { queue.wait(queue.start_write(0, data.data(), data.size())); });
  BOOST_TEST(denied.find("the state: cannot write 4096 bytes at byte ") == 0, denied);
  BOOST_TEST(denied.find(std::strerror(EBADF)) != std::string::npos, denied);
  const std::string past =
      failure([&] { queue.wait(queue.start_read(0, data.data(), data.size())); });
  BOOST_TEST(past.find("the file ends there") != std::string::npos, past);
  BOOST_TEST(queue.traffic().written == 0);
}

BOOST_DATA_TEST_CASE(the_end_waits_for_transfers, bdata::make({true, false}), uring) {
  const OpenFile file(O_RDWR);
  const auto data = pattern(3'000'000, 4);
  {
    FileQueue queue(file.number, "bytes", {.block_size = 10'000, .uring = uring});
    (void)queue.start_write(0, data.data(), data.size());
  }
  std::vector<std::byte> back(data.size());
  BOOST_TEST(pread(file.number, back.data(), back.size(), 0) ==
             static_cast<ssize_t>(back.size()));
  BOOST_TEST((back == data));
}

BOOST_AUTO_TEST_SUITE_END()
