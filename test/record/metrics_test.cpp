// SPDX-License-Identifier: Apache-2.0
// The column of auxiliary losses: only runs that had such a loss have the column.
#include "trireme/record/metrics.hpp"

#include <cmath>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

StepRecord step(std::int64_t iteration, double auxiliary) {
  StepRecord r;
  r.iteration = iteration;
  r.auxiliary_loss = auxiliary;
  return r;
}

std::vector<double> column(const std::string& path, const std::string& name) {
  const h5::File file(path, h5::Mode::read);
  const h5::Dataset d = file.dataset(name);
  std::vector<double> values(static_cast<std::size_t>(d.shape().count()));
  d.read(View(values.data(), DType::f64, d.shape()));
  return values;
}

}  // namespace

BOOST_AUTO_TEST_CASE(auxiliary_losses_have_a_column_where_there_are_any) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  const std::string name = "train/auxiliary_loss";
  {
    Metrics metrics(path, 0, {});
    metrics.add(step(1, 0));
    metrics.add(step(2, 0));
    metrics.flush();
    BOOST_TEST(!h5::File(path, h5::Mode::read).has(name));
    metrics.add(step(3, 0));
    metrics.add(step(4, 0.5));
    metrics.flush();
    BOOST_TEST(column(path, name) == (std::vector<double>{0, 0, 0, 0.5}),
               boost::test_tools::per_element());
  }
  Metrics again(path, 3, {});
  again.add(step(4, 0.25));
  again.finish();
  BOOST_TEST(column(path, name) == (std::vector<double>{0, 0, 0, 0.25}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(tasks_have_rows_that_a_resume_shortens) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  const auto task = [](std::int64_t iteration, const char* metric, double value) {
    return TaskRecord{
        .iteration = iteration, .task = "a/b c", .questions = 7, .values = {{metric, value}}};
  };
  {
    Metrics metrics(path, 0, {});
    metrics.add(task(2, "acc", 0.5));
    metrics.add(task(4, "exact_match", 0.25));  // the file of the task changed
    metrics.add(SampleRecord{.iteration = 2, .prompts = {"p"}, .answers = {"q"}});
    metrics.add(SampleRecord{.iteration = 4, .prompts = {"p"}, .answers = {"r"}});
    BOOST_TEST(metrics.has_task("a/b c", 4));
    BOOST_TEST(!metrics.has_task("a/b c", 3));
    BOOST_TEST(!metrics.has_task("other", 4));
    const auto acc = column(path, "tasks/a_b_c/acc");
    const auto match = column(path, "tasks/a_b_c/exact_match");
    BOOST_TEST(acc.size() == 2U);
    BOOST_TEST(match.size() == 2U);
    BOOST_TEST((acc[0] == 0.5 && std::isnan(acc[1])));
    BOOST_TEST((std::isnan(match[0]) && match[1] == 0.25));
  }
  const Metrics again(path, 3, {});
  BOOST_TEST(again.has_task("a/b c", 2));
  BOOST_TEST(!again.has_task("a/b c", 4));
  BOOST_TEST(column(path, "tasks/a_b_c/acc").size() == 1U);
  const h5::File file(path, h5::Mode::read);
  BOOST_TEST(file.has("samples/2"));
  BOOST_TEST(!file.has("samples/4"));
}
