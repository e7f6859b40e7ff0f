// SPDX-License-Identifier: Apache-2.0
// A loss that arises in the middle of a pipeline. Its sum, and its share of the gradient by
// finite differences, are right for all micro-batches and kinds of recomputation.
#include <cmath>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"
#include "trireme/pipeline/executor.hpp"

#include "../../model/penalized_unit.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;
using Kind = RecomputeConfig::Kind;

constexpr double kCoefficient = 0.7;
constexpr int kMicroBatches = 3;
const char* const kUnit = "layers.2";  // on the first of two stages, on the second of four

struct Recompute {
  const char* name;
  RecomputeConfig config;
};
const Recompute kRecompute[] = {{"nothing", {Kind::none, 1, false, false}},
                                {"attention", {Kind::selective, 1, false, false}},
                                {"layers", {Kind::full, 1, false, false}},
                                {"pairs of layers", {Kind::full, 2, false, false}}};
std::ostream& operator<<(std::ostream& out, const Recompute& r) { return out << r.name; }

struct Losses {
  double tokens = 0;
  double auxiliary = 0;
  [[nodiscard]] double total() const { return tokens + auxiliary; }
};

/// The mean square of the unit's output over micro-batches.
class MeanSquare : public UnitObserver {
 public:
  void observe(const UnitUse& /*use*/, Module& unit, const Tensor& output) override {
    if (unit.name() == kUnit) mean_ += mean_square(output) / kMicroBatches;
  }
  [[nodiscard]] double mean() const { return mean_; }

 private:
  double mean_ = 0;
};

/// One rank of a pipeline that has all ranks.
struct Stage {
  Stage(bool tied, double coefficient, const Recompute& recompute)
      : config(config_of(tied)), mesh({1, 1, world->size()}, *world) {
    const auto units = static_cast<int>(list_units(config).size());
    const auto bound = [&](int stage) { return units * stage / mesh.shape.pp; };
    parts.push_back(std::make_unique<ModelPart>(cpu.ex, DType::f64, config, tp,
                                                bound(mesh.at.pp), bound(mesh.at.pp + 1),
                                                recompute.config));
    if (coefficient != 0) penalize(*parts[0], kUnit, coefficient);
    store = std::make_unique<ParameterStore>(cpu.ex, DType::f64, list_parameters(parts));
    randomize_values(*store);
    executor = std::make_unique<PipelineExecutor>(
        cpu.ex, mesh, tp, PipelineSchedule::one_f_one_b, DType::f64, parts, clock);
  }

  static ModelConfig config_of(bool tied) {
    ModelConfig c = tiny_config();
    c.num_layers = 6;
    c.no_weight_tying = !tied;
    return c;
  }

  std::vector<MicroBatch> micro_batches(bool training) {
    std::vector<MicroBatch> batches;
    for (int i = 0; i < kMicroBatches; ++i) {
      batches.push_back(tiny_batch(cpu.ex, config, i, 1, kMicroBatches));
      batches.back().training = training;
    }
    return batches;
  }

  /// The losses, summed over all ranks.
  Losses losses_of(const std::vector<MicroBatch>& batches) {
    Losses mine;
    for (const MicroBatch& mb : batches) {
      mine.tokens += mb.loss_sum.data<double>()[0] * mb.loss_weight;
      mine.auxiliary += mb.loss_sum.data<double>()[1] * mb.loss_weight;
    }
    return {world->reduce_value(mine.tokens, Reduction::sum),
            world->reduce_value(mine.auxiliary, Reduction::sum)};
  }

  /// Runs forward and backward, and leaves the gradient in the store.
  Losses train() {
    store->zero_gradients(cpu.ex);
    const auto batches = micro_batches(true);
    executor->train(batches, {});
    for (const Parameter* p : store->parameters()) {
      if (p->sum_over.has(Axis::ends)) mesh.ends->all_reduce(p->grad, Reduction::sum);
    }
    return losses_of(batches);
  }
  Losses evaluate(const UnitObservers& observers = {}) {
    const auto batches = micro_batches(false);
    executor->evaluate(batches, observers);
    return losses_of(batches);
  }

  /// d total / d element `i` of the parameter `name`, which may be on another rank.
  double slope(const std::string& name, std::size_t i) {
    constexpr double kStep = 1e-5;
    const auto shift = [&](double by) {
      for (const Parameter* p : store->parameters()) {
        if (p->name == name) set(p->value, i, get(p->value, i) + by);
      }
    };
    shift(kStep);
    const double above = evaluate().total();
    shift(-2 * kStep);
    const double below = evaluate().total();
    shift(kStep);
    return (above - below) / (2 * kStep);
  }

  TinyExec cpu;
  ModelConfig config;
  std::unique_ptr<Communicator> world = world_communicator();
  Mesh mesh;
  TensorParallel tp{mesh.tp.get(), false};
  PhaseClock clock;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<PipelineExecutor> executor;
};

/// An element that the loss depends on. In a table, the element is in a row of some token.
std::size_t element_of(const Stage& stage, const Parameter& p) {
  if (p.role == ParameterRole::weight) return static_cast<std::size_t>(p.box.count()) / 2;
  const MicroBatch mb = tiny_batch(stage.cpu.ex, stage.config, 0, 1, kMicroBatches);
  const auto token = static_cast<std::size_t>(mb.tokens.data<std::int32_t>()[2]);
  return token * static_cast<std::size_t>(stage.config.hidden_size) + 1;
}

}  // namespace

BOOST_DATA_TEST_CASE(term_is_reported_apart, bdata::make({false, true}), tied) {
  Stage plain(tied, 0, kRecompute[0]);
  const Losses without = plain.train();
  BOOST_TEST(without.auxiliary == 0);
  Stage stage(tied, kCoefficient, kRecompute[0]);
  MeanSquare seen;
  const Losses evaluated = stage.evaluate({&seen});
  const double term = kCoefficient * stage.world->reduce_value(seen.mean(), Reduction::sum);
  BOOST_TEST(evaluated.auxiliary > 0.1);
  BOOST_TEST(std::abs(evaluated.auxiliary - term) <= 1e-14 * term);
  for (const Recompute& recompute : kRecompute) {
    Stage again(tied, kCoefficient, recompute);
    const Losses trained = again.train();
    BOOST_TEST(trained.tokens == without.tokens);
    BOOST_TEST(trained.auxiliary == evaluated.auxiliary);
  }
}

BOOST_DATA_TEST_CASE(gradient_is_that_of_the_total,
                     bdata::make(kRecompute) * bdata::make({false, true}), recompute, tied) {
  Stage stage(tied, kCoefficient, recompute);
  Stage plain(tied, 0, recompute);
  stage.train();
  plain.train();
  double moved = 0;  // how much the term changes gradients
  for (int rank = 0; rank < stage.world->size(); ++rank) {
    const bool mine = rank == stage.world->rank();
    const auto& parameters = stage.store->parameters();
    const auto count = stage.world->reduce_count(
        mine ? static_cast<std::int64_t>(parameters.size()) : 0, Reduction::sum);
    for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
      const Parameter* p = mine ? parameters[k] : nullptr;
      const std::string name = stage.world->broadcast_text(mine ? p->name : "", rank);
      const std::size_t i = static_cast<std::size_t>(stage.world->reduce_count(
          mine ? static_cast<std::int64_t>(element_of(stage, *p)) : 0, Reduction::sum));
      const double slope = stage.slope(name, i);
      if (!mine) continue;
      const double gradient = get(p->grad, i);
      BOOST_TEST(std::abs(gradient - slope) <= 1e-8 + 1e-6 * std::abs(slope),
                 name << ": " << gradient << " against " << slope);
      moved += std::abs(gradient - get(plain.store->parameters()[k]->grad, i));
    }
  }
  BOOST_TEST(stage.world->reduce_value(moved, Reduction::sum) > 0.1);
}
