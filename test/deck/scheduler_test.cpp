// SPDX-License-Identifier: Apache-2.0
// Rates and betas of DeepSpeed's schedulers are those that its classes set on an optimizer:
// golden/make_schedules.py.
#include <fstream>
#include <sstream>

#include <boost/test/unit_test.hpp>

#include "trireme/deck/show.hpp"
#include "trireme/optim/schedule.hpp"

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

/// A line of schedules.txt.
struct Line {
  std::string deck;  ///< the scheduler as a deck says it
  std::vector<double> numbers;
};

std::vector<Line> lines() {
  std::ifstream file(TRIREME_TEST_DIR "/support/golden/schedules.txt");
  std::vector<Line> all;
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    std::string type;
    words >> type;
    std::string params;
    for (std::string word; words >> word && word != ":";) {
      const std::size_t equals = word.find('=');
      params += fmt::format("{}: {}, ", word.substr(0, equals), word.substr(equals + 1));
    }
    Line line{fmt::format("scheduler: {{type: {}, params: {{{}}}}}\n", type, params), {}};
    for (double x = 0; words >> x;) line.numbers.push_back(x);
    all.push_back(std::move(line));
  }
  BOOST_REQUIRE_GE(all.size(), 12U);
  return all;
}

Deck resolved(const std::string& more) {
  Deck d = parse_deck(
      "num_layers: 4\nhidden_size: 64\nnum_attention_heads: 4\nseq_length: 32\n"
      "train_micro_batch_size_per_gpu: 2\nvocab_size: 300\nlr: 2e-3\n" +
          more,
      "x.yml");
  resolve(d, 1);
  return d;
}

std::string error(const std::string& more) {
  return message_of([&] { static_cast<void>(resolved(more)); });
}

const std::string kCycle =
    "train_iters: 10\nscheduler: {type: OneCycle, params: {cycle_min_lr: 1e-4, "
    "cycle_max_lr: 1e-3, cycle_first_step_size: 3, ";

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_scheduler)

BOOST_AUTO_TEST_CASE(rates_and_betas_are_deepspeeds) {
  int cycled = 0;
  for (const Line& line : lines()) {
    const Deck d = resolved("train_iters: 30\n" + line.deck);
    const bool betas = betas_at(d.schedule, 1).has_value();
    cycled += betas ? 1 : 0;
    const std::size_t stride = betas ? 2 : 1;
    BOOST_REQUIRE_EQUAL(line.numbers.size(), 30 * stride);
    for (std::size_t i = 0; i < 30; ++i) {
      const auto step = static_cast<std::int64_t>(i + 1);
      BOOST_TEST_CONTEXT(line.deck << "iteration " << step) {
        BOOST_CHECK_SMALL(learning_rate(d.schedule, step) - line.numbers[i * stride], 1e-16);
        if (!betas) continue;
        const auto now = betas_at(d.schedule, step).value();
        BOOST_CHECK_SMALL(now[0] - line.numbers[i * stride + 1], 1e-14);
        BOOST_TEST(now[1] == 0.99);
      }
    }
  }
  BOOST_TEST(cycled == 6);
}

BOOST_AUTO_TEST_CASE(a_written_deck_reads_back_without_further_warnings) {
  for (const Line& line : lines()) {
    const Deck d = resolved("train_iters: 30\n" + line.deck);
    Deck again = parse_deck(to_yaml(d), "again.yml");
    resolve(again, 1);
    BOOST_TEST((again.schedule == d.schedule), line.deck);
    BOOST_TEST(again.warnings.size() == d.warnings.size(),
               fmt::format("{}", fmt::join(again.warnings, "; ")));
  }
}

BOOST_AUTO_TEST_CASE(momenta_that_are_none_are_refused) {
  CHECK_CONTAINS(error(kCycle + "decay_step_size: 1, decay_mom_rate: 0.1}}\n"),
                 "decay_mom_rate 0.1 makes a momentum of 1.17 out of cycle_max_mom 0.9 by "
                 "iteration 10");
  BOOST_CHECK_NO_THROW(
      static_cast<void>(resolved(kCycle + "decay_step_size: 1, decay_mom_rate: 0.01}}\n")));
}

BOOST_AUTO_TEST_CASE(optimizers_without_betas_keep_their_momentum) {
  const Deck sgd = resolved(kCycle + "}}\noptimizer: {type: SGD, params: {momentum: 0.9}}\n");
  BOOST_TEST(!betas_at(sgd.schedule, 2).has_value());
  CHECK_CONTAINS(fmt::format("{}", fmt::join(sgd.warnings, "; ")),
                 "cycle_momentum has no effect, in DeepSpeed neither: SGD has no betas");
}

BOOST_AUTO_TEST_SUITE_END()
