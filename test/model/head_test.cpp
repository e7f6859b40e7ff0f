// SPDX-License-Identifier: Apache-2.0
// The loss by chunks of rows, over a vocabulary that no tp divides.
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"
#include "trireme/model/init.hpp"

#include "tiny_model.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

struct LossAndGradient {
  double loss = 0;
  double gradient_squares = 0;  ///< of the output matrix, over all ranks
};

LossAndGradient run(Communicator& comm, const ModelConfig& config) {
  const TinyExec cpu;
  const TensorParallel tp{&comm, false};
  std::vector<std::unique_ptr<ModelPart>> parts;
  parts.push_back(std::make_unique<ModelPart>(cpu.ex, DType::f32, config, tp, 0,
                                              static_cast<int>(list_units(config).size())));
  ParameterStore store(cpu.ex, DType::f32, list_parameters(parts));
  for (const Parameter* p : store.parameters()) {
    fill_initial(p->value, p->box, p->global_shape, p->name, init_rule(config, p->init), 7);
  }
  MicroBatch mb;
  mb.batch = 1;
  mb.seq = config.seq_length;
  mb.tokens = cpu.ex.make(DType::i32, Shape{mb.seq});
  mb.targets = cpu.ex.make(DType::i32, Shape{mb.seq});
  mb.loss_sum = cpu.ex.zeros(DType::f64, Shape{3});
  for (std::int64_t i = 0; i < mb.seq; ++i) {
    const auto id = static_cast<std::int32_t>(i * 7919 % config.vocab_size);
    mb.tokens.data<std::int32_t>()[i] = id;
    mb.targets.data<std::int32_t>()[i] =
        static_cast<std::int32_t>((id + 31337) % config.vocab_size);
  }
  Tape tape(mb);
  (void)parts[0]->forward(cpu.ex, {}, tape);
  LossAndGradient result;
  result.loss = *mb.loss_sum.data<double>();
  for (const Parameter* p : store.parameters()) {
    if (p->name != "embed_out.weight") continue;
    for (std::size_t i = 0; i < static_cast<std::size_t>(p->grad.count()); ++i) {
      result.gradient_squares += std::pow(get(p->grad, i), 2);
    }
  }
  result.gradient_squares = comm.reduce_value(result.gradient_squares, Reduction::sum);
  return result;
}

}  // namespace

BOOST_AUTO_TEST_CASE(chunks_are_the_same_on_all_ranks) {
  ModelConfig config;
  config.num_layers = 1;
  config.hidden_size = 8;
  config.num_attention_heads = 4;
  config.num_kv_heads = 4;
  config.seq_length = 3000;  // several chunks of logits at any tp here
  config.max_position_embeddings = 3000;
  config.vocab_size = 50257;
  config.intermediate_size = 16;
  config.pos_emb = PositionEmbedding::none;
  config.no_weight_tying = true;
  const auto world = world_communicator();
  const auto self = make_self_communicator();
  const LossAndGradient cut = run(*world, config);
  const LossAndGradient whole = run(*self, config);
  BOOST_TEST(std::abs(cut.loss - whole.loss) < 1e-6 * whole.loss);
  BOOST_TEST(std::abs(cut.gradient_squares - whole.gradient_squares) <
             1e-5 * whole.gradient_squares);
}

BOOST_AUTO_TEST_CASE(every_rank_has_rows_of_any_vocabulary) {
  for (const std::int64_t rows : {8, 9, 37, 64, 257, 50257, 50304}) {
    for (const int parts : {1, 2, 3, 4, 8}) {
      std::int64_t next = 0;
      for (int part = 0; part < parts; ++part) {
        const RowRange c = shard_vocabulary(rows, part, parts);
        BOOST_TEST(c.offset == next);
        BOOST_TEST(c.extent > 0);
        next = c.offset + c.extent;
      }
      BOOST_TEST(next == rows);
    }
  }
}
