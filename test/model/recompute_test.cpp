// SPDX-License-Identifier: Apache-2.0
// Recomputation of every kind changes no bit of loss and gradients, and keeps the expected
// bytes. Uses come in the announced order, and parameters are bound during their uses alone.
#include <cstring>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

#include "tiny_model.hpp"
#include "unit_binding.hpp"

namespace trireme {

std::ostream& operator<<(std::ostream& out, const UnitUse& u) {
  constexpr const char* kPasses[] = {"forward", "recompute", "backward"};
  return out << kPasses[static_cast<int>(u.pass)] << " of unit " << u.unit
             << (u.training ? "" : " in evaluation");
}

}  // namespace trireme

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;
using Kind = RecomputeConfig::Kind;
using Pass = UnitUse::Pass;

struct Variant {
  const char* name;
  bool gpt_j_residual;
  bool gpt_j_tied;
};
std::ostream& operator<<(std::ostream& out, const Variant& v) { return out << v.name; }
const Variant kVariants[] = {{"sequential residual", false, false},
                             {"gpt_j_residual", true, false},
                             {"gpt_j_tied", true, true}};

struct Case {
  const char* name;
  RecomputeConfig recompute;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }
const Case kCases[] = {
    {"selective", {Kind::selective, 1, false, false}},
    {"full, groups of 1", {Kind::full, 1, false, false}},
    {"full, groups of 2", {Kind::full, 2, false, false}},
    {"full, groups of 3", {Kind::full, 3, false, false}},
    {"full, groups of 9", {Kind::full, 9, false, false}},
    {"full, groups of 1, partitioned", {Kind::full, 1, true, false}},
    {"full, groups of 2, partitioned", {Kind::full, 2, true, false}},
    {"full, groups of 3, partitioned", {Kind::full, 3, true, false}},
};

constexpr std::int64_t kLayers = 4;

/// `odd`: the length of a sequence is a number that no tp divides.
ModelConfig config_of(const Variant& v, bool dropout, bool tied, bool odd) {
  ModelConfig c = tiny_config();
  c.num_layers = kLayers;
  c.gpt_j_residual = v.gpt_j_residual;
  c.gpt_j_tied = v.gpt_j_tied;
  c.no_weight_tying = !tied;
  if (odd) c.seq_length = 7;
  if (dropout) {
    c.hidden_dropout = 0.2;
    c.attention_dropout = 0.3;
  }
  return c;
}

struct Result {
  double loss = 0;
  std::vector<std::vector<std::byte>> gradients;
  std::size_t kept = 0;  ///< on the tape between forward and backward
  std::size_t kept_on_host = 0;
  std::size_t peak = 0;
};

std::vector<std::byte> bytes_of(const View& v) {
  const auto* first = static_cast<const std::byte*>(v.raw());
  return {first, first + v.bytes()};
}

/// Two micro-batches of one sample.
Result train(const TinyModel& m, const UnitObservers& observers = {}) {
  Result r;
  m.store->zero_gradients(m.ex);
  for (std::int64_t i = 0; i < 2; ++i) {
    const MicroBatch mb = tiny_batch(m.ex, m.config, i, 1, 2);
    Tape tape(mb);
    (void)m.parts[0]->forward(m.ex, {}, tape, {.observers = observers});
    r.kept = tape.bytes();
    r.kept_on_host = tape.host_bytes();
    (void)m.parts[0]->backward(m.ex, {}, tape, {.observers = observers});
    BOOST_TEST(tape.empty());
    BOOST_TEST(tape.bytes() == 0U);
    BOOST_TEST(tape.host_bytes() == 0U);
    r.peak = tape.peak_bytes();
    r.loss += *mb.loss_sum.data<double>() * mb.loss_weight;
  }
  return r;
}

Result with_gradients(Result r, const TinyModel& m) {
  for (const Parameter* p : m.store->parameters()) r.gradients.push_back(bytes_of(p->grad));
  return r;
}

void compare(const Result& r, const Result& expected, const TinyModel& m) {
  BOOST_TEST(std::memcmp(&r.loss, &expected.loss, sizeof(double)) == 0,
             r.loss << " against " << expected.loss);
  for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
    BOOST_TEST((r.gradients[i] == expected.gradients[i]),
               m.store->parameters()[i]->name << " has another gradient");
  }
}

/// Bytes that the tape keeps under `full`: inputs of the groups, what the final norm keeps, and
/// the head's gradient of its input.
std::size_t expected_bytes(const TinyModel& m, const RecomputeConfig& recompute) {
  const std::int64_t all = m.config.seq_length;
  const std::int64_t rows = m.tp.local_rows(all);
  const std::int64_t h = m.config.hidden_size;
  const std::int64_t groups = (kLayers + recompute.num_layers - 1) / recompute.num_layers;
  const bool shared = recompute.partition && !m.tp.rows_are_cut();
  const std::int64_t input = rows * h / (shared ? m.tp.size() : 1);
  return static_cast<std::size_t>(groups * input + rows * (h + 2) + all * h) * sizeof(float);
}

void check_memory(const Result& r, const Result& plain, const TinyModel& m,
                  const RecomputeConfig& recompute) {
  BOOST_TEST(r.kept < plain.kept);
  if (recompute.kind == Kind::full) {
    BOOST_TEST(r.kept == expected_bytes(m, recompute));
    BOOST_TEST(r.peak >= r.kept);
    if (recompute.num_layers < kLayers) BOOST_TEST(r.peak < plain.peak);
    return;
  }
  const std::int64_t heads = m.config.num_attention_heads;
  const std::int64_t width = 4 * m.config.hidden_size + heads;  // qkv, out, lse
  const std::int64_t attention = kLayers * m.config.seq_length * width / m.tp.size();
  BOOST_TEST(r.kept + static_cast<std::size_t>(attention) * sizeof(float) == plain.kept);
  BOOST_TEST(r.peak == r.kept);
}

/// Records all calls.
class Recorder : public UnitObserver {
 public:
  void before(const UnitUse& use, Module& /*unit*/) override {
    BOOST_TEST(begun.size() == ended.size());  // uses don't overlap
    begun.push_back(use);
  }
  void after(const UnitUse& use, Module& /*unit*/) override { ended.push_back(use); }
  void observe(const UnitUse& use, Module& unit, const Tensor& /*output*/) override {
    BOOST_TEST(begun.size() == ended.size() + 1);
    BOOST_TEST((use == begun.back()));
    observed.push_back(unit.name());
  }

  std::vector<UnitUse> begun;
  std::vector<UnitUse> ended;
  std::vector<std::string> observed;
};

}  // namespace

BOOST_DATA_TEST_CASE(no_bit_changes,
                     bdata::make(kVariants) * bdata::make({false, true}) *
                         bdata::make({false, true}) * bdata::make({false, true}),
                     variant, dropout, tied, sequence_parallel) {
  const TinyExec cpu;
  const auto world = world_communicator();
  const TensorParallel tp{world.get(), sequence_parallel};
  const ModelConfig config = config_of(variant, dropout, tied, !sequence_parallel);
  const TinyModel plain(cpu.ex, config, DType::f32, tp);
  const Result expected = with_gradients(train(plain), plain);
  BOOST_TEST(expected.peak == expected.kept);
  for (const Case& c : kCases) {
    BOOST_TEST_CONTEXT(c) {
      const TinyModel again(cpu.ex, config, DType::f32, tp, c.recompute);
      const Result r = with_gradients(train(again), again);
      compare(r, expected, plain);
      check_memory(r, expected, again, c.recompute);
    }
  }
}

BOOST_DATA_TEST_CASE(parameters_are_there_in_uses_alone,
                     bdata::make(kCases) * bdata::make({false, true}) *
                         bdata::make({false, true}),
                     c, tied, sequence_parallel) {
  const TinyExec cpu;
  const auto world = world_communicator();
  const TensorParallel tp{world.get(), sequence_parallel};
  ModelConfig config = config_of(kVariants[0], true, tied, false);
  config.pos_emb = PositionEmbedding::learned;
  // An empty window has another type than fp64.
  const TinyModel m(cpu.ex, config, DType::f64, tp, c.recompute);
  const Result expected = with_gradients(train(m), m);
  const double evaluated = m.loss(1, 1, false);
  Result r;
  MicroBatch mb = tiny_batch(cpu.ex, config, 0, 1, 1);
  mb.training = false;
  {
    UnitBinding binding(cpu.ex, m.store->parameters());
    m.store->zero_gradients(cpu.ex);
    r = train(m, {&binding});
    Tape tape(mb);
    (void)m.parts[0]->forward(cpu.ex, {}, tape, {.observers = {&binding}});
  }
  compare(with_gradients(std::move(r), m), expected, m);
  BOOST_TEST(*mb.loss_sum.data<double>() * mb.loss_weight == evaluated);
}

BOOST_DATA_TEST_CASE(uses_come_as_announced, bdata::make(kCases), c) {
  const TinyExec cpu;
  const auto world = world_communicator();
  const ModelConfig config = config_of(kVariants[0], false, false, false);
  const TinyModel m(cpu.ex, config, DType::f32, {world.get(), false}, c.recompute);
  ModelPart& part = *m.parts[0];
  Recorder seen;
  const PartPass pass{3, 7, {&seen}};
  const auto check = [&](const std::vector<UnitUse>& announced) {
    BOOST_TEST(seen.begun == announced, boost::test_tools::per_element());
    BOOST_TEST(seen.ended == announced, boost::test_tools::per_element());
    BOOST_TEST((seen.begun.front().place().part == 3 && seen.begun.back().micro_batch == 7));
    seen.begun.clear();
    seen.ended.clear();
  };
  for (const bool training : {false, true}) {
    MicroBatch mb = tiny_batch(cpu.ex, config, 0, 1, 1);
    mb.training = training;
    Tape tape(mb);
    (void)part.forward(cpu.ex, {}, tape, pass);
    check(part.forward_uses(training, pass));
    BOOST_TEST(seen.observed.size() == part.units().size());
    if (!training) BOOST_TEST(tape.empty());
    if (training) {
      (void)part.backward(cpu.ex, {}, tape, pass);
      check(part.backward_uses(pass));
    }
    for (std::size_t i = 0; i < seen.observed.size(); ++i) {
      BOOST_TEST(seen.observed[i] == part.units()[i]->name());
    }
    seen.observed.clear();
  }
}

BOOST_AUTO_TEST_CASE(order_of_uses) {
  const TinyExec cpu;
  const auto self = make_self_communicator();
  const TensorParallel tp{self.get(), false};
  ModelConfig config = tiny_config();
  config.num_layers = 3;
  const auto uses = [&](int first, int end, const RecomputeConfig& recompute) {
    return ModelPart(cpu.ex, DType::f32, config, tp, first, end, recompute).backward_uses();
  };
  constexpr auto kAgain = Pass::recompute;
  constexpr auto kBack = Pass::backward;
  const auto check = [](const std::vector<UnitUse>& list,
                        const std::vector<UnitUse>& expected) {
    BOOST_TEST(list == expected, boost::test_tools::per_element());
  };
  // Embedding, layers 1 to 3, norm, head.
  check(uses(0, 6, {Kind::full, 2}), {{5, kBack},
                                      {4, kBack},
                                      {3, kAgain},
                                      {3, kBack},
                                      {1, kAgain},
                                      {2, kAgain},
                                      {2, kBack},
                                      {1, kBack},
                                      {0, kBack}});
  // Layers 2 and 3 alone: groups begin anew in each part.
  check(uses(2, 4, {Kind::full, 2}), {{0, kAgain}, {1, kAgain}, {1, kBack}, {0, kBack}});
  check(uses(2, 4, {Kind::selective, 2}), {{1, kBack}, {0, kBack}});
  check(uses(4, 6, {Kind::full, 2}), {{1, kBack}, {0, kBack}});
}

/// The head computes the gradient of the scaled loss. Powers of two change exponents alone.
BOOST_AUTO_TEST_CASE(scaled_loss) {
  const TinyExec cpu;
  const auto world = world_communicator();
  const TinyModel m(cpu.ex, config_of(kVariants[0], true, true, false), DType::f32,
                    {world.get(), false});
  const auto run = [&](double scale) {
    m.store->zero_gradients(cpu.ex);
    MicroBatch mb = tiny_batch(cpu.ex, m.config, 0, 1, 1);
    mb.loss_scale = ConstView(&scale, DType::f64, Shape{1});
    Tape tape(mb);
    (void)m.parts[0]->forward(cpu.ex, {}, tape);
    (void)m.parts[0]->backward(cpu.ex, {}, tape);
    std::vector<double> numbers{*mb.loss_sum.data<double>()};
    for (const Parameter* p : m.store->parameters()) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(p->grad.count()); ++i) {
        numbers.push_back(get(p->grad, i) / scale);
      }
    }
    return numbers;
  };
  BOOST_TEST((run(1024) == run(1)));
}
