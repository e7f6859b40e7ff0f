// SPDX-License-Identifier: Apache-2.0
// The history of starts, and names and units of columns, in metrics.h5.
#include <boost/test/unit_test.hpp>

#include "trireme/record/metrics.hpp"

#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

StartRecord start(std::int64_t iteration, const std::string& changes) {
  return {.iteration = iteration,
          .time = 1e9 + static_cast<double>(iteration),
          .mesh = {2, 1, 3},
          .train_batch_size = 8,
          .host = "node1",
          .revision = "abc",
          .changes = changes};
}

/// Calls f for every dataset below a group.
void visit(const h5::Group& group, const std::function<void(const h5::Dataset&)>& f) {
  for (const std::string& name : group.names()) {
    if (name == "host" || name == "device") continue;  // texts
    if (group.has_dataset(name)) {
      f(group.dataset(name));
    } else {
      visit(group.group(name), f);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(starts_are_a_history) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  {
    Metrics metrics(path, 0, {});
    metrics.add(start(0, ""));
    StepRecord step;
    for (step.iteration = 1; step.iteration <= 5; ++step.iteration) metrics.add(step);
    metrics.finish();
  }
  {
    Metrics metrics(path, 5, {});
    metrics.add(start(5, "lr 1 → 2"));
  }
  Metrics metrics(path, 3, {});  // a resume further back drops rows, but no start
  metrics.add(start(3, std::string(100'000, 'x')));
  const h5::File file(path, h5::Mode::read);
  const h5::Group starts = file.group("starts");
  BOOST_TEST(starts.names() == (std::vector<std::string>{"1", "2", "3"}),
             boost::test_tools::per_element());
  BOOST_TEST(starts.group("1").text("changes").empty());
  const h5::Group second = starts.group("2");
  BOOST_TEST(second.integer("iteration") == 5);
  BOOST_TEST(second.number("time") == 1e9 + 5);
  BOOST_TEST(second.text("mesh") == "dp 2 × tp 1 × pp 3");
  BOOST_TEST(second.integer("ranks") == 6);
  BOOST_TEST(second.integer("train_batch_size") == 8);
  BOOST_TEST(second.text("host") == "node1");
  BOOST_TEST(second.text("revision") == "abc");
  BOOST_TEST(second.text("changes") == "lr 1 → 2");
  BOOST_TEST(starts.group("3").text("changes").size() < 64'000U);
  BOOST_TEST(file.dataset("train/loss").shape().count() == 3);
}

BOOST_AUTO_TEST_CASE(every_column_has_a_name_and_a_unit) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  Metrics metrics(path, 0, {});
  StepRecord step;
  step.auxiliary_loss = 1;
  metrics.add(step);
  metrics.add("valid", {1, 2.0});
  metrics.add("test", {1, 2.0});
  metrics.add(SaveRecord{.iteration = 1, .bytes = 8, .write_seconds = 1});
  metrics.set_plan({StagePlan{}});
  RankRecord rank;
  rank.host = "a";
  rank.device = "cpu";
  metrics.set_ranks({rank}, 1);
  metrics.add_timeline(1, {{Span{{0, 0, 0}, 0, 1}}});
  metrics.finish();
  const h5::File file(path, h5::Mode::read);
  BOOST_TEST(file.dataset("train/step_seconds").text("unit") == "s");
  int columns = 0;
  visit(file, [&](const h5::Dataset& column) {
    ++columns;
    BOOST_TEST_INFO(column.where());
    BOOST_TEST(column.has_attribute("long_name"));
    BOOST_TEST(column.has_attribute("unit"));
  });
  BOOST_TEST(columns > 40);
}

BOOST_AUTO_TEST_CASE(evaluations_are_found_by_iteration) {
  const test::TemporaryFolder folder;
  Metrics metrics(folder / "metrics.h5", 0, {});
  BOOST_TEST(!metrics.has_evaluation("valid", 4));
  metrics.add("valid", {4, 2.0});
  BOOST_TEST(metrics.has_evaluation("valid", 4));
  BOOST_TEST(!metrics.has_evaluation("valid", 2));
  BOOST_TEST(!metrics.has_evaluation("test", 4));
}
