// SPDX-License-Identifier: Apache-2.0
// Ten AdamW steps of PyTorch on the golden models: losses and gradient norms, on data- and
// tensor-parallel meshes.
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"
#include "trireme/optim/optimizer.hpp"
#include "trireme/optim/reducer.hpp"

#include "../golden/golden.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// As many ranks of dp, or of tp, as the model divides over; a larger world holds several such
/// groups that do the same.
MeshShape mesh_for(const Golden& golden, int ranks, bool tensor_parallel) {
  int n = ranks;
  while ((tensor_parallel ? golden.config.num_kv_heads : golden.batch) % n != 0) n /= 2;
  return {tensor_parallel ? 1 : n, tensor_parallel ? n : 1, 1};
}

OptimizerConfig optimizer_of(const Golden& golden) {
  const h5::Dataset d = golden.dataset("adamw_losses");
  OptimizerConfig c;
  c.beta1 = d.number("beta1");
  c.beta2 = d.number("beta2");
  c.epsilon = d.number("eps");
  c.weight_decay = d.number("weight_decay");
  c.gradient_clipping = d.number("clip");
  return c;
}

struct Training {
  Training(const Golden& g, DType dtype, bool tensor_parallel)
      : golden(g), all(world_communicator()) {
    const MeshShape shape = mesh_for(golden, all->size(), tensor_parallel);
    group = all->split(all->rank() / shape.size(), all->rank());
    mesh.emplace(shape, *group);
    tp = {mesh->tp.get(), false};
    const auto units = static_cast<int>(list_units(golden.config).size());
    parts.push_back(std::make_unique<ModelPart>(cpu.ex, dtype, golden.config, tp, 0, units));
    store.emplace(cpu.ex, dtype, list_parameters(parts));
    golden.load(*store);
    const OptimizerConfig config = optimizer_of(golden);
    optimizer.emplace(cpu.ex, config, *store);
    reducer.emplace(cpu.ex, *store, *mesh, 1000, !golden.config.no_weight_tying);
  }

  struct Result {
    double loss = 0;
    double norm = 0;
  };
  /// Micro-batches of one sample.
  Result step(std::int64_t number, double lr) {
    store->zero_gradients(cpu.ex);
    const std::int64_t mine = golden.batch / mesh->shape.dp;
    double sum = 0;
    for (std::int64_t i = 0; i < mine; ++i) {
      const MicroBatch mb = golden.micro_batch(cpu.ex, number, mesh->at.dp * mine + i, 1);
      Tape tape(mb);
      (void)parts[0]->forward(cpu.ex, {}, tape);
      (void)parts[0]->backward(cpu.ex, {}, tape, [&](Module& unit) {
        if (i + 1 == mine) reducer->ready(unit);
      });
      sum += *mb.loss_sum.data<double>() * mb.loss_weight;
    }
    reducer->finish();
    const Result r{mesh->dp->reduce_value(sum, Reduction::sum),
                   optimizer->gradient_norm(cpu.ex, *mesh)};
    optimizer->step(cpu.ex, lr, r.norm);
    return r;
  }

  const Golden& golden;
  CpuExec cpu;
  std::unique_ptr<Communicator> all;
  std::unique_ptr<Communicator> group;
  std::optional<Mesh> mesh;
  TensorParallel tp;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::optional<ParameterStore> store;
  std::optional<Optimizer> optimizer;
  std::optional<GradientReducer> reducer;
};

}  // namespace

BOOST_DATA_TEST_CASE(ten_adamw_steps,
                     bdata::make(kGoldenCases) * bdata::make({false, true}) *
                         bdata::make({false, true}),
                     name, fp64, tensor_parallel) {
  const Golden golden(name);
  const auto losses = golden.doubles("adamw_losses64");
  const auto norms = golden.doubles("adamw_grad_norms64");
  const double lr = golden.dataset("adamw_losses").number("lr");
  Training training(golden, fp64 ? DType::f64 : DType::f32, tensor_parallel);
  const double tolerance = fp64 ? 1e-9 : 1e-5;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto [loss, norm] = training.step(static_cast<std::int64_t>(i), lr);
    BOOST_TEST(std::abs(loss - losses[i]) <= tolerance * losses[i],
               "step " << i + 1 << ": loss " << loss << " against " << losses[i]);
    BOOST_TEST(std::abs(norm - norms[i]) <= 10 * tolerance * norms[i],
               "step " << i + 1 << ": norm " << norm << " against " << norms[i]);
  }
  BOOST_TEST(training.optimizer->steps() == 10);
}

BOOST_AUTO_TEST_CASE(meshes_are_what_they_should_be) {
  // Or the test above would pass without an exchange.
  const int ranks = world_communicator()->size();
  const Golden golden("neox_tied_tanh");
  BOOST_TEST(mesh_for(golden, ranks, false).dp == ranks);
  BOOST_TEST(mesh_for(golden, ranks, true).tp == ranks);
}
