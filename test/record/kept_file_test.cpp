// SPDX-License-Identifier: Apache-2.0
// Files whose folder is moved or removed while a run writes them.
#include "../../src/record/kept_file.hpp"

#include <fstream>
#include <iterator>

#include <boost/test/unit_test.hpp>

#include "trireme/record/metrics.hpp"

#include "../../src/record/tensorboard.hpp"
#include "../support/temporary_folder.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

StepRecord step(std::int64_t iteration) {
  StepRecord r;
  r.iteration = iteration;
  return r;
}

std::vector<std::int64_t> iterations(const std::string& path) {
  const h5::File file(path, h5::Mode::read);
  const h5::Dataset d = file.dataset("train/iteration");
  std::vector<std::int64_t> values(static_cast<std::size_t>(d.shape().count()));
  d.read(View(values.data(), DType::i64, d.shape()));
  return values;
}

BOOST_AUTO_TEST_CASE(a_kept_file_comes_back_whole) {
  const TemporaryFolder folder;
  const std::string path = folder / "run/file";
  const std::string bytes(200'000, 'x');
  fs::create_directory(folder / "run");
  std::ofstream(path) << bytes;
  KeptFile kept;
  BOOST_TEST(!kept.restore(path));
  kept.keep(path);
  BOOST_TEST(!kept.restore(path));  // it is there
  fs::remove_all(folder / "run");
  BOOST_TEST(kept.restore(path));
  BOOST_TEST((content(path) == bytes));
}

BOOST_AUTO_TEST_CASE(metrics_keep_all_their_rows) {
  const TemporaryFolder folder;
  const std::string path = folder / "run/metrics.h5";
  fs::create_directory(folder / "run");
  Metrics metrics(path, 0, {});
  for (int i = 1; i <= 3; ++i) {
    metrics.add(step(i));
    metrics.flush();
    if (i == 1) fs::rename(folder / "run", folder / "moved");
    if (i == 2) fs::remove_all(folder / "run");
  }
  metrics.finish();
  BOOST_TEST(iterations(path) == (std::vector<std::int64_t>{1, 2, 3}),
             boost::test_tools::per_element());
  BOOST_TEST(iterations(folder / "moved/metrics.h5") == std::vector<std::int64_t>{1},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(events_come_back_whole) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "events");
  TensorBoard board(folder / "events", 0, "a: 1");
  board.add(step(1));
  board.flush();
  const std::string name = fs::directory_iterator(folder / "events")->path().filename();
  const auto before = content(folder / ("events/" + name));
  fs::remove_all(folder / "events");
  board.add(step(2));
  board.flush();
  const auto after = content(folder / ("events/" + name));
  BOOST_TEST(after.starts_with(before));
  BOOST_TEST(after.size() > before.size());
}

}  // namespace
}  // namespace trireme
