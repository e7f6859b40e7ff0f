// SPDX-License-Identifier: Apache-2.0
// The column of auxiliary losses: only runs that had such a loss have the column.
#include "trireme/record/metrics.hpp"

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
