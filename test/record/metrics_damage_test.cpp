// SPDX-License-Identifier: Apache-2.0
// Damaged metrics.h5: the file is set aside, and a new one has the rows that wait in memory.
#include <filesystem>
#include <fstream>
#include <random>

#include <boost/test/unit_test.hpp>

#include "trireme/core/log.hpp"
#include "trireme/h5/checksum.hpp"
#include "trireme/record/metrics.hpp"

#include "../support/error_of.hpp"
#include "../support/flipped_bits.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;
using test::TemporaryFolder;
namespace fs = std::filesystem;
using Rows = std::vector<double>;

namespace {

constexpr h5::Seal kSeal{"metrics file", 1, 512};
const RunAttributes kAttributes{{"mesh", std::string("dp 1")}};

StepRecord step(std::int64_t iteration) {
  StepRecord r;
  r.iteration = iteration;
  r.loss = 10.0 / static_cast<double>(iteration);
  return r;
}

void add_steps(Metrics& metrics, std::int64_t from, std::int64_t to) {
  for (std::int64_t i = from; i <= to; ++i) metrics.add(step(i));
}

Rows iterations(const std::string& path) {
  const h5::File file(path, h5::Mode::read);
  const h5::Dataset d = file.dataset("train/iteration");
  std::vector<std::int64_t> values(static_cast<std::size_t>(d.shape().count()));
  if (!values.empty()) d.read(View(values.data(), DType::i64, d.shape()));
  return {values.begin(), values.end()};
}

Rows losses(const std::string& path) {
  const h5::File file(path, h5::Mode::read);
  const h5::Dataset d = file.dataset("train/loss");
  Rows values(static_cast<std::size_t>(d.shape().count()));
  if (!values.empty()) d.read(View(values.data(), DType::f64, d.shape()));
  return values;
}

/// A file of steps 1 to 3, and a plan.
void make(const std::string& path) {
  Metrics metrics(path, 0, kAttributes);
  metrics.set_plan({StagePlan{}});
  add_steps(metrics, 1, 3);
  metrics.finish();
}

/// Changes the file, and corrects its seal: damage that the seal does not show.
void change(const std::string& path, const std::function<void(h5::File&)>& f) {
  {
    h5::File file(path, h5::Mode::read_write);
    f(file);
    file.close();
  }
  h5::write_seal(path, kSeal);
}

/// What was logged while f ran.
std::string log_of(const TemporaryFolder& folder, const std::function<void()>& f) {
  const std::string path = folder / "log.txt";
  fs::remove(path);
  log::start(0, "node1");
  log::keep(path);
  f();
  log::keep("");
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The file without its seal: what earlier versions wrote.
void remove_seal(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  in.close();
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes.substr(512);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_start_sets_a_damaged_file_aside) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  make(path);
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(3000) << "damage";
  std::string before;
  {
    std::ifstream in(path, std::ios::binary);
    before.assign(std::istreambuf_iterator<char>(in), {});
  }
  const std::string text = log_of(folder, [&] {
    Metrics metrics(path, 3, kAttributes);
    add_steps(metrics, 4, 5);
    metrics.finish();
  });
  BOOST_TEST(iterations(path) == (Rows{4, 5}), boost::test_tools::per_element());
  std::ifstream in(path + ".damaged", std::ios::binary);
  BOOST_TEST((std::string(std::istreambuf_iterator<char>(in), {}) == before));
  TRM_TEST_MENTIONS(text, "metrics.h5: damaged: its checksum is wrong");
  TRM_TEST_MENTIONS(text,
                    "kept as " + path + ".damaged, and a new one begins after iteration 3");
}

BOOST_AUTO_TEST_CASE(damage_that_shows_only_at_a_write) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  make(path);
  // The file opens, and its rows can be read and cut back, but no row can be added.
  change(path, [](h5::File& file) {
    file.remove("train/loss");
    file.create_dataset("train/loss", DType::f64, Shape{3});
  });
  const std::string text = log_of(folder, [&] {
    Metrics metrics(path, 3, kAttributes);
    metrics.set_plan({StagePlan{}, StagePlan{}});
    add_steps(metrics, 4, 4);
    metrics.flush();
    add_steps(metrics, 5, 6);
    metrics.finish();
  });
  BOOST_TEST(iterations(path) == (Rows{4, 5, 6}), boost::test_tools::per_element());
  BOOST_TEST(losses(path) == (Rows{10.0 / 4, 10.0 / 5, 10.0 / 6}),
             boost::test_tools::per_element());
  BOOST_TEST(fs::exists(path + ".damaged"));
  const h5::File file(path, h5::Mode::read);
  BOOST_TEST(file.text("mesh") == "dp 1");
  BOOST_TEST(file.dataset("plan/values").shape().count() == 2);
  const std::string kept = "kept as";
  BOOST_TEST(text.find(kept) != std::string::npos);
  BOOST_TEST(text.find(kept) == text.rfind(kept), text);
}

BOOST_AUTO_TEST_CASE(damage_while_a_run_writes) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  Metrics metrics(path, 0, kAttributes);
  add_steps(metrics, 1, 2);
  metrics.flush();
  fs::resize_file(path, 1000);
  std::ofstream(path + ".damaged") << "an earlier one";
  add_steps(metrics, 3, 4);
  metrics.flush();
  BOOST_TEST(iterations(path) == (Rows{3, 4}), boost::test_tools::per_element());
  BOOST_TEST(fs::file_size(path + ".damaged-2") == 1000U);
  fs::remove(path);  // by hand, while the run goes on
  add_steps(metrics, 5, 5);
  metrics.finish();
  BOOST_TEST(iterations(path) == (Rows{3, 4, 5}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_start_says_which_rows_are_missing) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  make(path);
  const std::string text = log_of(folder, [&] { const Metrics metrics(path, 7, kAttributes); });
  TRM_TEST_MENTIONS(text, "the rows of iterations 4 to 7 are missing");
  make(path);
  const std::string none = log_of(folder, [&] { const Metrics metrics(path, 3, kAttributes); });
  BOOST_TEST(none.find("missing") == std::string::npos, none);
  // A run that resumed from elsewhere, and died before its first row.
  fs::remove(path);
  { const Metrics metrics(path, 20, kAttributes); }
  const std::string later =
      log_of(folder, [&] { const Metrics metrics(path, 20, kAttributes); });
  BOOST_TEST(later.find("missing") == std::string::npos, later);
}

BOOST_AUTO_TEST_CASE(files_of_earlier_versions_get_a_seal) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  make(path);
  remove_seal(path);
  BOOST_TEST(iterations(path) == (Rows{1, 2, 3}), boost::test_tools::per_element());
  Metrics metrics(path, 2, kAttributes);
  BOOST_TEST((h5::check_seal(path, kSeal) == h5::SealState::whole));
  add_steps(metrics, 3, 4);
  metrics.finish();
  BOOST_TEST(iterations(path) == (Rows{1, 2, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST((h5::check_seal(path, kSeal) == h5::SealState::whole));
  BOOST_TEST(!fs::exists(path + ".damaged"));
}

BOOST_AUTO_TEST_CASE(a_kill_while_a_file_was_changed_in_place) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  make(path);
  change(path, [](h5::File& file) {  // one column has a row that the others lack
    const double row = 1;
    file.dataset("train/loss").append(ConstView(&row, DType::f64, Shape{1}));
  });
  h5::break_seal(path, kSeal);
  Metrics metrics(path, 3, kAttributes);
  add_steps(metrics, 4, 4);
  metrics.finish();
  BOOST_TEST(iterations(path) == (Rows{1, 2, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(losses(path) == (Rows{10, 5, 10.0 / 3, 2.5}), boost::test_tools::per_element());
  BOOST_TEST((h5::check_seal(path, kSeal) == h5::SealState::whole));
}

BOOST_AUTO_TEST_CASE(a_large_file_is_changed_in_place) {
  if (!test::whole_sweeps()) return;
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  constexpr std::int64_t kSteps = 480'000;
  {
    Metrics metrics(path, 0, kAttributes);
    add_steps(metrics, 1, kSteps);
    metrics.finish();
    BOOST_REQUIRE(fs::file_size(path) > (64U << 20U));
    add_steps(metrics, kSteps + 1, kSteps + 2);
    metrics.finish();
  }
  BOOST_TEST((h5::check_seal(path, kSeal) == h5::SealState::whole));
  Metrics metrics(path, kSteps + 1, kAttributes);
  add_steps(metrics, kSteps + 2, kSteps + 3);
  metrics.finish();
  BOOST_TEST(iterations(path).size() == static_cast<std::size_t>(kSteps + 3));
  remove_seal(path);
  const Metrics again(path, kSteps, kAttributes);
  BOOST_TEST((h5::check_seal(path, kSeal) == h5::SealState::whole));
  BOOST_TEST(iterations(path).size() == static_cast<std::size_t>(kSteps));
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_of_metrics_is_set_aside_or_harmless) {
  const TemporaryFolder folder(test::memory_folder());
  const std::string path = folder / "metrics.h5";
  const std::string copy = folder / "copy.h5";
  make(path);
  std::vector<std::int64_t> bits;
  const auto bytes = static_cast<std::int64_t>(fs::file_size(path));
  test::add_bits(bits, 0, bytes, test::whole_sweeps() ? 331 : bytes * 8 / 300);
  const test::Flips flips = test::flip_bits(path, bits, "set aside", [&] {
    fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
    fs::remove(copy + ".damaged");
    Metrics metrics(copy, 3, kAttributes);
    add_steps(metrics, 4, 4);
    metrics.finish();
    const bool aside = fs::exists(copy + ".damaged");
    const Rows expected = aside ? Rows{4} : Rows{1, 2, 3, 4};
    TRM_REQUIRE(iterations(copy) == expected, "other rows");
    TRM_REQUIRE(!aside, "set aside");
    return std::string("harmless");
  });
  BOOST_TEST(flips.wrong == -1);
  BOOST_TEST(flips.named + flips.harmless == std::ssize(bits));
  BOOST_TEST(flips.named > 200);
  BOOST_TEST_MESSAGE(flips.named << " set aside, " << flips.harmless << " harmless");
}
