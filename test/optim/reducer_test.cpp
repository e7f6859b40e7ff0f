// SPDX-License-Identifier: Apache-2.0
// Sums over dp, tp and a tied pair of stages, whatever the buckets; and the norm that counts
// each parameter once. Gradients are numbers by name and place, so no model is run.
#include "trireme/optim/reducer.hpp"

#include <cmath>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"
#include "trireme/optim/optimizer.hpp"

#include "../model/tiny_model.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// Of each kind: all ranks in one axis, and mixes where they suffice.
std::vector<MeshShape> meshes(int ranks) {
  std::vector<MeshShape> list{{ranks, 1, 1}, {1, ranks, 1}, {1, 1, ranks}};
  if (ranks == 4) list.insert(list.end(), {{2, 2, 1}, {2, 1, 2}, {1, 2, 2}});
  return list;
}

struct Options {
  bool tied = false;
  bool gpt_j = false;
  bool sequence_parallel = false;
};

ModelConfig config_of(const Options& options) {
  ModelConfig c = tiny_config();
  c.no_weight_tying = !options.tied;
  c.gpt_j_residual = options.gpt_j;
  return c;
}

/// This rank's part of the model on a mesh; two units or more a stage.
struct Setup {
  Setup(const MeshShape& shape, const Options& options)
      : config(config_of(options)), world(world_communicator()), mesh(shape, *world) {
    const TensorParallel tp{mesh.tp.get(), options.sequence_parallel};
    const auto units = static_cast<int>(list_units(config).size());
    const auto bound = [&](int stage) { return units * stage / shape.pp; };
    parts.push_back(std::make_unique<ModelPart>(cpu.ex, DType::f64, config, tp,
                                                bound(mesh.at.pp), bound(mesh.at.pp + 1)));
    store = std::make_unique<ParameterStore>(cpu.ex, DType::f64, list_parameters(parts));
  }

  /// Sets all gradients to `share` of the whole.
  void fill(const std::function<double(const Parameter&)>& share) const {
    for (const Parameter* p : store->parameters()) {
      const double part = share(*p);
      for_each_element(*p, [&](std::size_t i, std::int64_t global) {
        set(p->grad, i, part * noise(p->name, global, 5));
      });
    }
  }

  TinyExec cpu;
  ModelConfig config;
  std::unique_ptr<Communicator> world;
  Mesh mesh;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
};

/// 1 / n(n+1)/2 · (i+1): unequal shares that add up to one.
double share_of(int i, int n) { return 2.0 * (i + 1) / (n * (n + 1.0)); }

/// What this rank adds to the sums.
void fill_shares(const Setup& s, bool tied) {
  const MeshShape& shape = s.mesh.shape;
  s.fill([&](const Parameter& p) {
    double share = share_of(s.mesh.at.dp, shape.dp);
    if (p.sum_over_tp) share *= share_of(s.mesh.at.tp, shape.tp);
    const bool pair = tied && shape.pp > 1 && p.name == "embed_in.weight";
    return pair ? share * share_of(s.mesh.first_stage() ? 0 : 1, 2) : share;
  });
}

void check_whole(const Setup& s) {
  for (const Parameter* p : s.store->parameters()) {
    double worst = 0;
    for_each_element(*p, [&](std::size_t i, std::int64_t global) {
      worst = std::max(worst, std::abs(get(p->grad, i) - noise(p->name, global, 5)));
    });
    BOOST_TEST(worst <= 1e-14, p->name << " is off by " << worst << " on dp " << s.mesh.shape.dp
                                       << " tp " << s.mesh.shape.tp << " pp "
                                       << s.mesh.shape.pp);
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(sums_are_whole_whatever_the_buckets,
                     bdata::make({1, 7, 1000, 6'500'000}) * bdata::make({false, true}) *
                         bdata::make({false, true}),
                     bucket, tied, sequence_parallel) {
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    if (bucket < 1000 && shape.dp == 1) continue;  // only sums over dp go in buckets
    const Setup s(shape, {tied, true, sequence_parallel});
    GradientReducer reducer(s.cpu.ex, *s.store, s.mesh, bucket, tied);
    if (shape.pp == 1) BOOST_TEST((reducer.buckets() > 1) == (bucket < 6'500'000));
    for (int step = 0; step < 2; ++step) {
      fill_shares(s, tied);
      auto& units = s.parts[0]->units();
      for (std::size_t u = units.size(); u-- > 0;) {
        reducer.ready(*units[u]);
        reducer.progress();
      }
      reducer.finish();
      check_whole(s);
    }
  }
}

BOOST_DATA_TEST_CASE(norm_counts_each_parameter_once,
                     bdata::make({false, true}) * bdata::make({false, true}) *
                         bdata::make({false, true}),
                     tied, gpt_j, sequence_parallel) {
  // Every element of the whole model once, by its global place.
  double squares = 0;
  {
    const TinyExec cpu;
    const auto self = make_self_communicator();
    const TinyModel whole(cpu.ex, config_of({tied, gpt_j, false}), DType::f64,
                          {self.get(), false});
    std::int64_t count = 0;
    for (const Parameter* p : whole.store->parameters()) {
      for_each_element(*p, [&](std::size_t, std::int64_t global) {
        squares += std::pow(noise(p->name, global, 5), 2);
        ++count;
      });
    }
    BOOST_TEST(count == count_parameters(whole.config));
  }
  for (const MeshShape& shape : meshes(world_communicator()->size())) {
    const Setup s(shape, {tied, gpt_j, sequence_parallel});
    const Optimizer optimizer(s.cpu.ex, OptimizerConfig{}, *s.store);
    s.fill([](const Parameter&) { return 1.0; });
    const double norm = optimizer.gradient_norm(s.cpu.ex, s.mesh);
    BOOST_TEST(std::abs(norm - std::sqrt(squares)) <= 1e-12 * norm,
               norm << " against " << std::sqrt(squares) << " on dp " << shape.dp << " tp "
                    << shape.tp << " pp " << shape.pp);
  }
}

BOOST_AUTO_TEST_CASE(a_missing_unit_is_refused) {
  const auto world = world_communicator();
  if (world->size() == 1) return;  // nothing is reduced
  const Setup s({world->size(), 1, 1}, {});
  GradientReducer reducer(s.cpu.ex, *s.store, s.mesh, 6'500'000, false);
  reducer.ready(*s.parts[0]->units().back());
  BOOST_CHECK_THROW(reducer.finish(), Error);
}
