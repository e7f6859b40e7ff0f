// SPDX-License-Identifier: Apache-2.0
// The committed tasks beside lm-evaluation-harness: the same sequences, of which the same
// tokens count, and equal metrics. See golden/make_golden.py.
#include <cmath>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/tasks/run_task.hpp"

#include "scorers.hpp"

using namespace trireme;
using namespace trireme::test;
using nlohmann::json;

namespace {

struct Case {
  std::string task;                 ///< its file below inputs/tasks
  std::vector<std::string> golden;  ///< lm-eval's tasks, whose examples alternate
  int requests;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.task; }

const std::vector<Case> kCases{{"hellaswag", {"hellaswag"}, 48},
                               {"arc_easy", {"arc_easy"}, 48},
                               {"lambada", {"lambada"}, 16},
                               {"piqa", {"piqa"}, 24},
                               {"mmlu", {"boat_repair", "naval_history"}, 32}};

std::unique_ptr<Tokenizer> golden_tokenizer() {
  return open_tokenizer({.name = kGolden + "/model/tokenizer.json"});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(golden)

BOOST_DATA_TEST_CASE(the_committed_tasks_ask_and_judge_as_lm_eval, kCases) {
  const json numbers = golden_numbers();
  GoldenScorer scorer(numbers);
  const auto tokenizer = golden_tokenizer();
  const tasks::Task task = tasks::read_task(
      std::string(TRIREME_TEST_DIR) + "/../inputs/tasks/" + sample.task + ".yml", kGolden);
  std::vector<nlohmann::ordered_json> samples;
  const auto result = run_task(task, *tokenizer, scorer,
                               {.on_sample = [&](const auto& s) { samples.push_back(s); }});
  BOOST_TEST(scorer.asked() == sample.requests);
  BOOST_TEST(result.name == sample.task);
  for (const tasks::Measured& m : result.measured) {
    const std::string name = name_of(m.metric);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const json& golden = numbers["tasks"][sample.golden[i % sample.golden.size()]][name];
      const double expected = golden[i / sample.golden.size()];
      const double got = samples[i][name == "perplexity" ? "log_likelihood" : name];
      BOOST_TEST(std::abs(got - expected) < 1e-5, name << " of " << i);
    }
    if (sample.golden.size() > 1) continue;
    const json& results = numbers["tasks"][sample.golden[0]]["results"];
    BOOST_TEST(std::abs(m.value - results[name].get<double>()) < 1e-4, name);
    BOOST_REQUIRE(m.error.has_value());
    BOOST_TEST(std::abs(*m.error - results[name + "_stderr"].get<double>()) < 1e-4, name);
  }
}

BOOST_AUTO_TEST_CASE(a_generation_is_matched_as_lm_eval_does) {
  const json numbers = golden_numbers();
  GoldenScorer scorer(numbers);
  const auto tokenizer = golden_tokenizer();
  std::vector<nlohmann::ordered_json> samples;
  const auto result = run_task(tasks::read_task(kGolden + "/sums.yml"), *tokenizer, scorer,
                               {.on_sample = [&](const auto& s) { samples.push_back(s); }});
  const json& golden = numbers["tasks"]["sums"];
  BOOST_REQUIRE(samples.size() == 8U);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    BOOST_TEST(samples[i]["exact_match"].get<double>() ==
               golden["exact_match"][i].get<double>());
  }
  BOOST_TEST(std::abs(result.measured[0].value -
                      golden["results"]["exact_match"].get<double>()) < 1e-12);
}

BOOST_AUTO_TEST_SUITE_END()
