// SPDX-License-Identifier: Apache-2.0
// Sums over micro-batches, dp, tp and a tied pair of stages, for all buckets and stages of
// ZeRO. The norm counts each parameter once. Gradients are numbers keyed by name and index, so
// that no model runs.
#include "trireme/optim/reducer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "sharded_model.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

ModelConfig config_of(bool tied, bool gpt_j) {
  ModelConfig c = tiny_config();
  c.no_weight_tying = !tied;
  c.gpt_j_residual = gpt_j;
  return c;
}

ZeroConfig zero_of(int stage, bool once = false, bool overlap = true) {
  return {.stage = stage,
          .overlap_comm = overlap,
          .reduce_bucket_size = 1000,
          .stage3_param_persistence_threshold = 100,
          .reduce_once_per_step = once,
          .offload = {}};
}

/// 1 / n(n+1)/2 · (i+1): unequal shares that add up to one.
double share_of(int i, int n) { return 2.0 * (i + 1) / (n * (n + 1.0)); }

/// What this rank adds to the sum in micro-batch m of n.
double share_in(const ShardedModel& s, const Parameter& p, int m, int n) {
  const MeshShape& shape = s.mesh.shape;
  double share = share_of(s.mesh.at.dp, shape.dp) * share_of(m, n);
  if (p.sum_over.has(Axis::tp)) share *= share_of(s.mesh.at.tp, shape.tp);
  const bool pair = !s.config.no_weight_tying && shape.pp > 1 && p.name == "embed_in.weight";
  return pair ? share * share_of(s.mesh.first_stage() ? 0 : 1, 2) : share;
}

/// The largest difference between the sums in `slices` and the whole gradient, and the number
/// of elements compared.
std::pair<double, std::int64_t> compare(const ShardedModel& s, std::size_t group,
                                        const std::vector<FlatSlice>& slices) {
  double worst = 0;
  std::int64_t count = 0;
  for (const FlatSlice& slice : slices) {
    const auto expected = noise_of(*slice.parameter);
    const View sum = s.gradients.sums(group).part(slice);
    for (std::int64_t i = 0; i < slice.count; ++i, ++count) {
      const double difference = get(sum, static_cast<std::size_t>(i)) -
                                expected[static_cast<std::size_t>(slice.first + i)];
      worst = std::max(worst, std::abs(difference));
    }
  }
  return {worst, count};
}

std::string where(const ShardedModel& s) {
  return fmt::format("stage {} on dp {} tp {} pp {}", s.zero.stage, s.mesh.shape.dp,
                     s.mesh.shape.tp, s.mesh.shape.pp);
}

}  // namespace

BOOST_DATA_TEST_CASE(sums_are_whole_whatever_the_buckets,
                     bdata::make({1, 1000, 6'500'000}) * bdata::make({0, 1, 3}) *
                         bdata::make({false, true}) * bdata::make({1, 3}),
                     bucket, stage, tied, micro_batches) {
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    for (const bool once : {false, true}) {
      if (once && stage > 1) continue;
      ZeroConfig zero = zero_of(stage, once, bucket != 1);
      zero.reduce_bucket_size = bucket;
      ShardedModel s(shape, config_of(tied, true), tied, zero);
      for (int step = 0; step < 2; ++step) {
        s.reduce(micro_batches,
                 [&](const Parameter& p, int m) { return share_in(s, p, m, micro_batches); });
        std::int64_t seen = 0;
        for (std::size_t i = 0; i < s.layout.groups().size(); ++i) {
          const auto [worst, count] = compare(s, i, s.layout.slices(i, s.mesh.at.dp));
          seen += count;
          BOOST_TEST(worst <= 1e-14, where(s) << " is off by " << worst);
        }
        std::int64_t all = 0;
        for (const Parameter* p : s.layout.parameters()) all += p->box.count();
        BOOST_TEST(s.mesh.dp->reduce_count(seen, Reduction::sum) == all);
        s.gradients.gather();
        if (stage > 0) continue;
        for (std::size_t i = 0; i < s.layout.groups().size(); ++i) {
          const auto [worst, count] = compare(s, i, s.layout.whole_slices(i));
          BOOST_TEST(worst <= 1e-14, where(s) << " is off by " << worst << ", gathered");
        }
      }
    }
  }
}

/// fp32: equal bits at every stage, with and without overlap, for all buckets.
BOOST_AUTO_TEST_CASE(bits_depend_on_nothing) {
  const int ranks = world_communicator()->size();
  const auto sums = [&](const ZeroConfig& zero) {
    ShardedModel s({ranks, 1, 1}, config_of(false, false), false, zero, all_of(DType::f32));
    s.reduce(3, [&](const Parameter& p, int m) { return share_in(s, p, m, 3); });
    std::vector<float> all;
    const Tensor total = s.cpu.ex.zeros(DType::f32, Shape{s.layout.count()});
    for (std::size_t i = 0; i < s.layout.groups().size(); ++i) {
      for (const FlatSlice& slice : s.layout.slices(i, s.mesh.at.dp)) {
        // Offset in the model's order of parameters, since layouts differ.
        std::int64_t at = slice.first;
        for (const Parameter* p : s.layout.parameters()) {
          if (p == slice.parameter) break;
          at += p->box.count();
        }
        const View part = s.gradients.sums(i).part(slice);
        std::memcpy(total.data<float>() + at, part.raw(), part.bytes());
      }
    }
    s.mesh.dp->all_reduce(total, Reduction::sum);  // adds zeros alone: exact
    return std::vector<float>(total.data<float>(), total.data<float>() + total.count());
  };
  auto expected = sums(zero_of(0));
  for (const int stage : {0, 1, 2, 3}) {
    for (const bool overlap : {false, true}) {
      for (const std::int64_t bucket : {1, 300, 6'500'000}) {
        ZeroConfig zero = zero_of(stage, false, overlap);
        zero.reduce_bucket_size = bucket;
        auto got = sums(zero);
        got.resize(expected.size());  // only the gap at the end differs
        const auto n = std::min(got.size(), expected.size());
        BOOST_TEST(std::memcmp(got.data(), expected.data(), n * sizeof(float)) == 0,
                   "stage " << stage << ", overlap " << overlap << ", bucket " << bucket);
      }
    }
  }
}

BOOST_DATA_TEST_CASE(norm_counts_each_parameter_once,
                     bdata::make({false, true}) * bdata::make({false, true}) *
                         bdata::make({0, 1, 3}),
                     tied, gpt_j, stage) {
  // Counts every element of the whole model once, by its global index.
  double squares = 0;
  {
    const auto self = make_self_communicator();
    const TinyExec cpu;
    const TinyModel whole(cpu.ex, config_of(tied, gpt_j), DType::f64, {self.get(), false});
    std::int64_t count = 0;
    for (const Parameter* p : list_parameters(whole.parts)) {
      for (const double x : noise_of(*p)) {
        squares += x * x;
        ++count;
      }
    }
    BOOST_TEST(count == count_parameters(whole.config));
  }
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    ShardedModel s(shape, config_of(tied, gpt_j), gpt_j, zero_of(stage));
    s.reduce(2, [&](const Parameter& p, int m) { return share_in(s, p, m, 2); });
    const double norm = s.gradient_norm();
    BOOST_TEST(std::abs(norm - std::sqrt(squares)) <= 1e-12 * norm,
               norm << " against " << std::sqrt(squares) << ", " << where(s));
  }
}

/// If all forwards come first (GPipe), a head that adds in forward has no gradient left to send
/// after the first backward.
BOOST_AUTO_TEST_CASE(a_head_may_be_complete_after_the_first_backward) {
  constexpr int kCount = 3;
  for (const int stage : {0, 1, 3}) {
    ShardedModel s({world_communicator()->size(), 1, 1}, config_of(false, false), false,
                   zero_of(stage));
    const std::size_t head = s.parts[0]->units().size() - 1;
    const auto add = [&](std::size_t unit, double share) {
      s.gradients.before({0, unit});
      s.parts[0]->units()[unit]->visit([&](const Parameter& p) {
        const auto whole = noise_of(p);
        for (std::size_t i = 0; i < whole.size(); ++i) {
          set(p.grad, i, get(p.grad, i) + share * whole[i]);
        }
      });
    };
    const double mine = share_of(s.mesh.at.dp, s.mesh.shape.dp);
    s.gradients.begin(kCount);
    add(head, mine);
    for (int m = 0; m < kCount; ++m) {
      for (std::size_t u = head + 1; u-- > 0;) {
        if (u != head) add(u, mine * share_of(m, kCount));
        s.gradients.after_backward({0, u});
      }
    }
    s.gradients.wait_for_sums();
    s.gradients.gather();
    for (std::size_t i = 0; i < s.layout.groups().size(); ++i) {
      const auto slices =
          stage == 0 ? s.layout.whole_slices(i) : s.layout.slices(i, s.mesh.at.dp);
      const auto [worst, count] = compare(s, i, slices);
      BOOST_TEST(worst <= 1e-14, where(s) << " is off by " << worst);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_missing_unit_is_refused) {
  ShardedModel s({world_communicator()->size(), 1, 1}, config_of(false, false), false,
                 zero_of(1));
  s.gradients.begin(1);
  const std::size_t last = s.parts[0]->units().size() - 1;
  s.gradients.before({0, last});
  s.gradients.after_backward({0, last});
  BOOST_CHECK_THROW(s.gradients.wait_for_sums(), Error);
}

/// Stages 0 to 2 move 2Ψ elements a step: Ψ reduced for each micro-batch, and Ψ gathered once.
/// One case has so few groups that reductions of one group follow each other.
BOOST_AUTO_TEST_CASE(traffic) {
  const int ranks = world_communicator()->size();
  for (const MeshShape& shape : meshes(ranks)) {
    if (shape.dp == 1) continue;
    for (const int stage : {0, 1, 2}) {
      for (const int micro_batches : {1, 3}) {
        ZeroConfig zero = zero_of(stage);
        zero.stage3_param_persistence_threshold = 0;
        ShardedModel s(shape, config_of(false, false), false, zero);
        s.reduce(micro_batches, [](const Parameter&, int) { return 1.0; });
        StepState state;
        state.updated = 1;
        state.factor = 1;
        s.optimizer.step(1e-3, view_of(state));
        s.values.wait_for_values();
        BOOST_TEST(s.gradients.reduced() == micro_batches * s.layout.count());
        BOOST_TEST(s.gradients.gathered() + s.values.gathered() == s.layout.count(),
                   where(s) << ", stage " << stage << ", " << micro_batches);
      }
    }
  }
}
