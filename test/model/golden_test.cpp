// SPDX-License-Identifier: Apache-2.0
// Logits, loss and every gradient against Hugging Face transformers, sharded over as many ranks
// of tp as the model has kv heads for, with and without sequence parallelism.
#include "../support/golden/golden.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

struct ShardedModel {
  ShardedModel(const ModelConfig& config, DType dtype, bool sequence_parallel)
      : world(world_communicator()) {
    int width = world->size();
    while (config.num_kv_heads % width != 0) width /= 2;
    comm = machine.exchanges(world->split(world->rank() / width, world->rank()));
    tp = {comm.get(), sequence_parallel};
    const auto units = static_cast<int>(list_units(config).size());
    parts.push_back(std::make_unique<ModelPart>(ex, dtype, config, tp, 0, units));
    store = std::make_unique<ParameterStore>(ex, dtype, list_parameters(parts));
  }

  Machine machine;
  const Exec& ex = machine.ex;
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> comm;
  TensorParallel tp;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
};

bool rows_divide(const Golden& g, const TensorParallel& tp) {
  return g.batch * g.config.seq_length % tp.size() == 0;
}

}  // namespace

BOOST_DATA_TEST_CASE(logits_loss_and_gradients,
                     bdata::make(all_golden_cases()) * bdata::make(machine_types()) *
                         bdata::make({false, true}),
                     name, dtype, sequence_parallel) {
  const Golden golden(name);
  ShardedModel m(golden.config, dtype, sequence_parallel);
  if (!rows_divide(golden, m.tp)) return;
  golden.load(m.ex, *m.store);
  const MicroBatch mb = golden.micro_batch(m.ex, 0, 0, golden.batch);
  const double tolerance =
      dtype == DType::f64 ? 2e-7 : 1e-5;  // the reference is stored in fp32

  {
    MicroBatch frozen = mb;
    frozen.training = false;
    Tape tape(frozen);
    const Tensor logits = m.parts[0]->logits(m.ex, {}, tape);
    const auto expected = golden.floats("logits");
    const auto columns = static_cast<std::size_t>(logits.cols());
    const auto first = static_cast<std::size_t>(
        shard_vocabulary(golden.config.vocab_size, m.tp.rank(), m.tp.size()).offset);
    const auto got = numbers(m.ex, logits);
    Distance d;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const std::size_t at = i / columns * static_cast<std::size_t>(golden.config.vocab_size) +
                             first + i % columns;
      d.add(got[i], expected[at]);
    }
    BOOST_TEST(d.relative() <=
               (dtype == DType::f64 ? 1e-6 : 1e-5));  // these were computed in fp32
  }

  Tape tape(mb);
  (void)m.parts[0]->forward(m.ex, {}, tape);
  const double loss = loss_of(m.ex, mb);
  const double expected = golden.doubles("loss64").front();
  BOOST_TEST(std::abs(loss - expected) <= tolerance * expected);

  (void)m.parts[0]->backward(m.ex, {}, tape);
  BOOST_TEST(tape.empty());
  for (Parameter* p : m.store->parameters()) {
    if (p->sum_over.has(Axis::tp)) m.comm->all_reduce(p->grad, Reduction::sum);
    const auto reference = golden.part("grad", *p);
    const auto got = numbers(m.ex, p->grad);
    Distance d;
    for (std::size_t i = 0; i < reference.size(); ++i) d.add(got[i], reference[i]);
    BOOST_TEST(d.relative() <= 10 * tolerance, p->name << " differs by " << d.relative());
  }
}

BOOST_DATA_TEST_CASE(evaluation_leaves_no_trace, bdata::make(all_golden_cases()), name) {
  const Golden golden(name);
  ShardedModel m(golden.config, DType::f32, false);
  golden.load(m.ex, *m.store);
  MicroBatch mb = golden.micro_batch(m.ex, 0, 0, golden.batch);
  mb.training = false;
  Tape tape(mb);
  (void)m.parts[0]->forward(m.ex, {}, tape);
  BOOST_TEST(tape.empty());
  const double loss = loss_of(m.ex, mb);
  BOOST_TEST(std::abs(loss - golden.doubles("loss64").front()) < 1e-5 * loss);
  for (const Parameter* p : m.store->parameters()) {
    for (const double x : numbers(m.ex, p->grad)) BOOST_REQUIRE(x == 0);
  }
}
