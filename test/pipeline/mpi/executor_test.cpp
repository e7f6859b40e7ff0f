// SPDX-License-Identifier: Apache-2.0
// The executor over real messages, each rank delayed at random. Loss and gradients of every
// schedule are those of the whole model on one rank, and no message is left. Parameters are
// bound during uses of their units alone, and uses come in the announced order.
#include "trireme/pipeline/executor.hpp"

#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

#include "../../model/tiny_model.hpp"
#include "../../model/unit_binding.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

struct Schedule {
  const char* name;
  PipelineSchedule schedule;
  int chunks;
};
std::ostream& operator<<(std::ostream& out, const Schedule& s) { return out << s.name; }
const Schedule kSchedules[] = {{"GPipe", PipelineSchedule::gpipe, 1},
                               {"1F1B", PipelineSchedule::one_f_one_b, 1},
                               {"interleaved 1F1B", PipelineSchedule::one_f_one_b, 2}};

/// Meshes of pp alone, and if the ranks suffice, of pp with one other axis.
std::vector<MeshShape> meshes(int ranks) {
  std::vector<MeshShape> list{{1, 1, ranks}};
  if (ranks == 4) list.insert(list.end(), {{2, 1, 2}, {1, 2, 2}});
  return list;
}

ModelConfig config_of(bool tied) {
  ModelConfig c = tiny_config();
  c.num_layers = 6;  // 9 units: enough for 4 stages of 2 chunks
  c.no_weight_tying = !tied;
  c.hidden_dropout = 0.1;
  return c;
}

/// Sleeps up to 2 ms, one time in four.
class Delays {
 public:
  explicit Delays(int rank) : draw_(static_cast<unsigned>(rank + 1)) {}
  void operator()() {
    if (draw_() % 4 != 0) return;
    std::this_thread::sleep_for(std::chrono::microseconds(draw_() % 2000));
  }

 private:
  std::minstd_rand draw_;
};

/// One rank of a pipeline.
struct Stage {
  Stage(const ModelConfig& config, const MeshShape& shape, const Schedule& s, DType dtype,
        bool sequence_parallel, const RecomputeConfig& recompute = {})
      : world(world_communicator()),
        mesh(shape, *world),
        tp{mesh.tp.get(), sequence_parallel},
        delays(world->rank()) {
    const auto units = static_cast<int>(list_units(config).size());
    const int all = shape.pp * s.chunks;
    for (int c = 0; c < s.chunks; ++c) {
      const int i = model_part(mesh.at.pp, c, shape.pp);
      parts.push_back(std::make_unique<ModelPart>(cpu.ex, dtype, config, tp, units * i / all,
                                                  units * (i + 1) / all, recompute));
    }
    store = std::make_unique<ParameterStore>(cpu.ex, dtype, list_parameters(parts));
    randomize_values(*store);
    executor =
        std::make_unique<PipelineExecutor>(cpu.ex, mesh, tp, s.schedule, dtype, parts, clock);
  }

  /// Mean loss of `count` micro-batches of one sample on each dp rank; leaves the gradient.
  double train(const ModelConfig& config, int count) {
    store->zero_gradients(cpu.ex);
    const auto batches = micro_batches(config, count);
    {
      Follower follower(*this);
      executor->train(batches, {&follower});
    }
    BOOST_TEST(done == announced.size());
    sum_gradients(!config.no_weight_tying);
    return loss_of(batches);
  }
  double evaluate(const ModelConfig& config, int count) {
    auto batches = micro_batches(config, count);
    for (MicroBatch& mb : batches) mb.training = false;
    Follower follower(*this);
    executor->evaluate(batches, {&follower});
    BOOST_TEST(done == announced.size());
    return loss_of(batches);
  }

  TinyExec cpu;
  std::unique_ptr<Communicator> world;
  Mesh mesh;
  TensorParallel tp;
  Delays delays;
  PhaseClock clock;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<PipelineExecutor> executor;
  std::vector<UnitUse> announced;  ///< uses that the last run announced
  std::size_t done = 0;            ///< how many of these uses are done

 private:
  /// Compares uses with the announced ones, binds parameters, and delays the rank.
  class Follower : public UnitObserver {
   public:
    explicit Follower(Stage& stage)
        : stage_(stage), binding_(stage.cpu.ex, stage.store->parameters()) {}
    void begin(const std::vector<UnitUse>& uses) override {
      stage_.announced = uses;
      stage_.done = 0;
    }
    void before(const UnitUse& use, Module& unit) override {
      BOOST_REQUIRE(stage_.done < stage_.announced.size());
      BOOST_TEST((use == stage_.announced[stage_.done]));
      BOOST_TEST(stage_.parts[use.part]->units()[use.unit].get() == &unit);
      binding_.before(use, unit);
    }
    void observe(const UnitUse& /*use*/, Module& /*unit*/, const Tensor& /*output*/) override {
      stage_.delays();
    }
    void after(const UnitUse& use, Module& unit) override {
      BOOST_TEST((use == stage_.announced[stage_.done]));
      ++stage_.done;
      binding_.after(use, unit);
    }
    void progress() override { stage_.delays(); }

   private:
    Stage& stage_;
    UnitBinding binding_;
  };
  void sum_gradients(bool tied) {
    for (const Parameter* p : store->parameters()) {
      if (p->sum_over.has(Axis::tp)) mesh.tp->all_reduce(p->grad, Reduction::sum);
      if (tied && p->name == "embed_in.weight") mesh.ends->all_reduce(p->grad, Reduction::sum);
      mesh.dp->all_reduce(p->grad, Reduction::sum);
    }
  }
  std::vector<MicroBatch> micro_batches(const ModelConfig& config, int count) {
    std::vector<MicroBatch> batches;
    const int dp = mesh.shape.dp;
    for (int i = 0; i < count; ++i) {
      batches.push_back(
          tiny_batch(cpu.ex, config, i * dp + mesh.at.dp, 1, std::int64_t{count} * dp));
      if (!mesh.first_stage()) batches.back().tokens = {};
      if (!mesh.last_stage()) batches.back().targets = {};
    }
    return batches;
  }
  double loss_of(const std::vector<MicroBatch>& batches) {
    double sum = 0;
    for (const MicroBatch& mb : batches) sum += *mb.loss_sum.data<double>() * mb.loss_weight;
    const bool mine = mesh.last_stage() && mesh.at.tp == 0;
    return world->reduce_value(mine ? sum : 0, Reduction::sum);
  }
};

/// ‖a − b‖ / ‖b‖ of this rank's shard of a parameter.
double distance(const Parameter& p, const Parameter& whole) {
  double difference = 0;
  double reference = 0;
  for_each_element(p, [&](std::size_t i, std::int64_t global) {
    const double b = get(whole.grad, static_cast<std::size_t>(global));
    difference += std::pow(get(p.grad, i) - b, 2);
    reference += b * b;
  });
  return std::sqrt(difference / std::max(reference, 1e-30));
}

void compare(Stage& stage, const TinyModel& whole, int count, double tolerance) {
  const std::int64_t samples = std::int64_t{count} * stage.mesh.shape.dp;
  const double expected = whole.gradient(samples, 1);
  const double loss = stage.train(whole.config, count);
  const std::string where =
      fmt::format("{} micro-batches on dp {} tp {} pp {}", count, stage.mesh.shape.dp,
                  stage.mesh.shape.tp, stage.mesh.shape.pp);
  BOOST_TEST(std::abs(loss - expected) <= tolerance * expected,
             where << ": loss " << loss << " against " << expected);
  std::map<std::string, const Parameter*> by_name;
  for (const Parameter* p : whole.store->parameters()) by_name[p->name] = p;
  for (const Parameter* p : stage.store->parameters()) {
    const double d = distance(*p, *by_name.at(p->name));
    BOOST_TEST(d <= tolerance, where << ": " << p->name << " differs by " << d);
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(gradients_are_those_of_one_rank,
                     bdata::make(kSchedules) * bdata::make({false, true}) *
                         bdata::make({false, true}),
                     schedule, fp64, tied) {
  const DType dtype = fp64 ? DType::f64 : DType::f32;
  const ModelConfig config = config_of(tied);
  const TinyExec cpu;
  const auto self = make_self_communicator();
  const TinyModel whole(cpu.ex, config, dtype, {self.get(), false});
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    Stage stage(config, shape, schedule, dtype, shape.tp > 1 && tied);
    // One executor runs all counts, so that a message left over from one step would spoil the
    // next step.
    for (const int count : {1, 3, 4, 8}) compare(stage, whole, count, fp64 ? 1e-12 : 1e-5);
  }
}

BOOST_DATA_TEST_CASE(evaluation_is_that_of_one_rank, bdata::make(kSchedules), schedule) {
  const ModelConfig config = config_of(false);
  const TinyExec cpu;
  const auto self = make_self_communicator();
  const TinyModel whole(cpu.ex, config, DType::f64, {self.get(), false});
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    Stage stage(config, shape, schedule, DType::f64, false);
    for (const int count : {1, 3, 8}) {
      const double loss = stage.evaluate(config, count);
      const double expected = whole.loss(std::int64_t{count} * shape.dp, 1, false);
      BOOST_TEST(std::abs(loss - expected) <= 1e-13 * expected);
      BOOST_TEST(stage.executor->peak_tape_bytes() == 0U);
    }
  }
}

/// 1F1B holds the activations of p − stage micro-batches, GPipe those of all.
BOOST_AUTO_TEST_CASE(activations_in_flight) {
  const ModelConfig config = config_of(false);
  const int ranks = world_communicator()->size();
  constexpr int kCount = 8;
  for (const Schedule& schedule : kSchedules) {
    if (schedule.chunks > 1) continue;
    Stage one(config, {1, 1, ranks}, schedule, DType::f32, false);
    one.train(config, 1);
    Stage many(config, {1, 1, ranks}, schedule, DType::f32, false);
    many.train(config, kCount);
    const int held = schedule.schedule == PipelineSchedule::gpipe
                         ? kCount
                         : std::min(kCount, ranks - one.mesh.at.pp);
    BOOST_TEST(many.executor->peak_tape_bytes() ==
               static_cast<std::size_t>(held) * one.executor->peak_tape_bytes());
  }
}

/// Uses come for each unit and pass of the plan's steps, in the order of the plan.
BOOST_DATA_TEST_CASE(uses_follow_the_plan, bdata::make(kSchedules), schedule) {
  using Pass = UnitUse::Pass;
  const ModelConfig config = config_of(false);
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    Stage stage(config, shape, schedule, DType::f32, false,
                {RecomputeConfig::Kind::full, 2, false, false});
    const auto chunks = static_cast<int>(stage.parts.size());
    for (const int count : {1, 5}) {
      for (const bool training : {true, false}) {
        const auto steps =
            training ? plan(schedule.schedule, stage.mesh.at.pp, shape.pp, count, chunks)
                     : forward_only(shape.pp, count, chunks);
        (void)(training ? stage.train(config, count) : stage.evaluate(config, count));
        std::size_t at = 0;
        for (const PlanStep& step : steps) {
          const auto& units = stage.parts[static_cast<std::size_t>(step.chunk)]->units();
          std::map<Pass, std::size_t> uses;
          const bool forward = step.kind == PlanStep::Kind::forward;
          const Pass ends_with = forward ? Pass::forward : Pass::backward;
          while (uses[ends_with] < units.size()) {
            BOOST_REQUIRE(at < stage.announced.size());
            const UnitUse& use = stage.announced[at++];
            BOOST_TEST(use.part == static_cast<std::size_t>(step.chunk));
            BOOST_TEST(use.micro_batch == step.micro_batch);
            BOOST_TEST(use.training == training);
            ++uses[use.pass];
          }
          const auto layers = static_cast<std::size_t>(
              std::ranges::count_if(units, [](const std::unique_ptr<Module>& unit) {
                return unit->name().starts_with("layers.");
              }));
          BOOST_TEST(uses[Pass::recompute] == (forward ? 0 : layers));
          BOOST_TEST(uses[forward ? Pass::backward : Pass::forward] == 0U);
        }
        BOOST_TEST(at == stage.announced.size());
      }
    }
  }
}

BOOST_DATA_TEST_CASE(recomputation_changes_no_bit,
                     bdata::make(kSchedules) * bdata::make({false, true}), schedule, tied) {
  using Kind = RecomputeConfig::Kind;
  const ModelConfig config = config_of(tied);
  constexpr int kCount = 5;
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    Stage plain(config, shape, schedule, DType::f32, false);
    const double expected = plain.train(config, kCount);
    for (const RecomputeConfig& recompute : {RecomputeConfig{Kind::selective, 1, false, false},
                                             RecomputeConfig{Kind::full, 1, true, false},
                                             RecomputeConfig{Kind::full, 2, false, false}}) {
      Stage stage(config, shape, schedule, DType::f32, false, recompute);
      BOOST_TEST(stage.train(config, kCount) == expected);
      for (std::size_t i = 0; i < plain.store->parameters().size(); ++i) {
        const Parameter& p = *plain.store->parameters()[i];
        const View grad = stage.store->parameters()[i]->grad;
        BOOST_TEST(std::memcmp(grad.raw(), p.grad.raw(), grad.bytes()) == 0,
                   p.name << " has another gradient");
      }
      BOOST_TEST(stage.executor->peak_tape_bytes() <= plain.executor->peak_tape_bytes());
    }
  }
}
