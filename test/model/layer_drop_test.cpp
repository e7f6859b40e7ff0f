// SPDX-License-Identifier: Apache-2.0
// A layer that a micro-batch skips adds nothing, and a layer that the others pass through adds
// 1/p of its output. Gradients agree with finite differences.
#include <cmath>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

#include "tiny_model.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

ModelConfig config_of(int kind) {
  ModelConfig c = tiny_config();
  if (kind == 1) c.gpt_j_residual = true;
  if (kind == 2) {
    c.norm_placement = NormPlacement::both;
    c.norm = Norm::rmsnorm;
  }
  return c;
}

/// Multiplies what a layer adds to the stream.
void scale_output(const TinyModel& m, double factor) {
  const bool normed = m.config.norm_placement != NormPlacement::before;
  for (const Parameter* p : m.store->parameters()) {
    const bool output = p->name.find(".dense.") != std::string::npos ||
                        p->name.find("dense_4h_to_h") != std::string::npos;
    const bool norm = p->name.find("output_norm") != std::string::npos;
    if (!(normed ? norm : output)) continue;
    for_each_element(
        *p, [&](std::size_t i, std::int64_t) { set(p->value, i, get(p->value, i) * factor); });
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(a_layer_adds_nothing_or_its_share, bdata::make({0, 1, 2}), kind) {
  const TinyExec cpu;
  const auto self = make_self_communicator();
  ModelConfig config = config_of(kind);
  config.num_layers = 1;
  TinyModel m(cpu.ex, config, DType::f64, {self.get(), false});
  constexpr double kKeep = 0.4;  // the last layer's p
  constexpr std::int64_t kSamples = 64;
  const auto losses = [&](double keep, double factor) {
    m.layer_keep = keep;
    scale_output(m, factor);
    std::vector<double> all;
    for (std::int64_t k = 0; k < kSamples; ++k) all.push_back(m.loss_of(k));
    if (factor > 0) scale_output(m, 1 / factor);
    return all;
  };
  const auto got = losses(kKeep, 1);
  const auto kept = losses(1, 1 / kKeep);
  const auto skipped = losses(1, 0);
  int count = 0;
  for (std::size_t k = 0; k < got.size(); ++k) {
    const bool passes = std::abs(got[k] - kept[k]) < 1e-12;
    BOOST_TEST((passes || std::abs(got[k] - skipped[k]) < 1e-12), "sample " << k);
    BOOST_TEST(std::abs(kept[k] - skipped[k]) > 1e-6);
    count += passes ? 1 : 0;
  }
  BOOST_TEST(count > 12);  // 25.6 are expected, with a deviation of 3.9
  BOOST_TEST(count < 40);
}

BOOST_DATA_TEST_CASE(gradients_with_skipped_layers, bdata::make({0, 1, 2}), kind) {
  const TinyExec cpu;
  const auto self = make_self_communicator();
  TinyModel m(cpu.ex, config_of(kind), DType::f64, {self.get(), false});
  m.layer_keep = 0.3;
  constexpr std::int64_t kSamples = 6;
  m.gradient(kSamples, 1);
  constexpr double kStep = 1e-5;
  const auto& parameters = m.store->parameters();
  std::vector<double> slopes;  // all before a forward, in which the head adds its gradient
  for (const Parameter* p : parameters) {
    double& slope = slopes.emplace_back(0);
    for_each_element(*p, [&](std::size_t i, std::int64_t global) {
      slope += get(p->grad, i) * noise(p->name, global, 3);
    });
  }
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    const Parameter* p = parameters[k];
    const double slope = slopes[k];
    const auto move = [&](double by) {
      for_each_element(*p, [&](std::size_t i, std::int64_t global) {
        set(p->value, i, get(p->value, i) + by * noise(p->name, global, 3));
      });
    };
    move(kStep);
    const double above = m.loss(kSamples, 1);
    move(-2 * kStep);
    const double below = m.loss(kSamples, 1);
    move(kStep);
    const double expected = (above - below) / (2 * kStep);
    BOOST_TEST(std::abs(slope - expected) <= 1e-8 + 1e-6 * std::abs(expected),
               p->name << ": " << slope << " against " << expected);
  }
}
