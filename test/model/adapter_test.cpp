// SPDX-License-Identifier: Apache-2.0
// Low-rank adapters against PEFT on the same weights, sharded over the ranks. make_lora.py made
// the reference values.
#include <cmath>
#include <limits>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"
#include "trireme/model/init.hpp"
#include "trireme/model/trained.hpp"

#include "../support/error_of.hpp"
#include "../support/golden/golden.hpp"
#include "tiny_model.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

const char* const kCases[] = {"neox_parallel_r025", "llama_gqa"};

ModelConfig with_adapters(const Golden& golden) {
  ModelConfig c = golden.config;
  const h5::Group& of = golden.attributes();
  c.lora.rank = of.integer("lora_rank");
  c.lora.alpha = of.number("lora_alpha");
  c.lora.use_rslora = of.integer("lora_rslora") != 0;
  const std::string targets = of.text("lora_targets");
  for (std::size_t at = 0; at < targets.size();) {
    const std::size_t end = std::min(targets.find(' ', at), targets.size());
    c.lora.targets.push_back(targets.substr(at, end - at));
    at = end + 1;
  }
  return c;
}

/// A whole model on as many ranks of tp as its kv heads divide into.
struct ShardedModel {
  ShardedModel(const ModelConfig& config, bool sequence_parallel)
      : world(world_communicator()) {
    int width = world->size();
    while (config.num_kv_heads % width != 0) width /= 2;
    comm = world->split(world->rank() / width, world->rank());
    tp = {comm.get(), sequence_parallel};
    const auto units = static_cast<int>(list_units(config).size());
    parts.push_back(std::make_unique<ModelPart>(cpu.ex, DType::f64, config, tp, 0, units));
    store = std::make_unique<ParameterStore>(cpu.ex, DType::f64, list_parameters(parts));
  }

  TinyExec cpu;
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> comm;
  TensorParallel tp;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
};

}  // namespace

BOOST_DATA_TEST_CASE(loss_and_gradients_are_those_of_peft,
                     bdata::make(kCases) * bdata::make({false, true}), name,
                     sequence_parallel) {
  const Golden golden(name, "lora.h5");
  ShardedModel m(with_adapters(golden), sequence_parallel);
  golden.load(m.cpu.ex, *m.store);
  const MicroBatch mb = golden.micro_batch(m.cpu.ex, 0, 0, golden.batch);
  Tape tape(mb);
  (void)m.parts[0]->forward(m.cpu.ex, {}, tape);
  const double expected = golden.doubles("loss64").front();
  BOOST_TEST(std::abs(loss_of(m.cpu.ex, mb) - expected) <= 2e-7 * expected);
  (void)m.parts[0]->backward(m.cpu.ex, {}, tape);
  int adapters = 0;
  for (Parameter* p : m.store->parameters()) {
    if (p->sum_over.has(Axis::tp)) m.comm->all_reduce(p->grad, Reduction::sum);
    const auto got = numbers(m.cpu.ex, p->grad);
    BOOST_TEST(p->trains == (p->role == ParameterRole::adapter), p->name);
    if (!p->trains) {
      BOOST_TEST(std::ranges::all_of(got, [](double x) { return x == 0; }), p->name);
      continue;
    }
    ++adapters;
    const auto reference = golden.part("grad", *p);
    Distance d;
    for (std::size_t i = 0; i < reference.size(); ++i) d.add(got[i], reference[i]);
    BOOST_TEST(d.relative() <= 2e-6, p->name << " differs by " << d.relative());
  }
  BOOST_TEST(adapters == 16);
}

BOOST_AUTO_TEST_CASE(targets_match_whole_names) {
  LoraConfig lora;
  BOOST_TEST(!has_adapter(lora, "layers.0.attention.dense"));
  lora.rank = 2;
  BOOST_TEST(has_adapter(lora, "layers.0.attention.dense"));
  lora.targets = {"dense"};
  BOOST_TEST(has_adapter(lora, "layers.11.attention.dense"));
  BOOST_TEST(!has_adapter(lora, "layers.11.mlp.dense_h_to_4h"));
  lora.targets = {"mlp\\..*", "attention.query_key_value"};
  BOOST_TEST(!has_adapter(lora, "layers.11.attention.dense"));
  BOOST_TEST(has_adapter(lora, "layers.11.mlp.dense_h_to_4h"));
  BOOST_TEST(has_adapter(lora, "layers.0.attention.query_key_value"));
}

BOOST_AUTO_TEST_CASE(new_adapters_change_nothing) {
  // A is drawn as PEFT draws it, uniformly within ±1/√in, and B is zero.
  const TinyExec cpu;
  ModelConfig config = tiny_config();
  config.lora.rank = 4;
  int seen = 0;
  visit_model(config, [&](int, const Parameter& p) {
    if (p.role != ParameterRole::adapter) return;
    ++seen;
    const auto n = static_cast<std::size_t>(p.global_shape.count());
    std::vector<double> values(n);
    fill_initial(View(values.data(), DType::f64, p.global_shape), Box::whole(p.global_shape),
                 p.global_shape, p.name, init_rule(config, p.init), 7);
    const bool is_b = p.name.ends_with(".lora_B.weight");
    const double bound = is_b ? 0 : 1 / std::sqrt(static_cast<double>(p.global_shape[1]));
    double most = 0;
    for (const double v : values) most = std::max(most, std::abs(v));
    BOOST_TEST(most <= bound);
    BOOST_TEST(most >= 0.8 * bound);
  });
  BOOST_TEST(seen == 16);
}

BOOST_AUTO_TEST_CASE(names_decide_what_trains) {
  const auto trained = [](const ModelConfig& c) {
    std::vector<std::string> names;
    visit_model(c, [&](int, const Parameter& p) {
      if (p.trains) names.push_back(p.name);
    });
    return names;
  };
  ModelConfig c = tiny_config();
  c.num_layers = 3;
  c.train_only = {"embed_out", "^layers\\.2\\..*norm"};
  c.freeze = {"bias$"};
  const std::vector<std::string> expected{"layers.2.input_layernorm.weight",
                                          "layers.2.post_attention_layernorm.weight",
                                          "embed_out.weight"};
  BOOST_TEST(trained(c) == expected, boost::test_tools::per_element());
  BOOST_TEST(first_trained_unit(c) == 3);
  BOOST_TEST(count_trained(c).trained == 2 * 16 + 37 * 16);
  BOOST_TEST(count_trained(c).all == count_parameters(c));
  c.lora.rank = 2;
  c.lora.targets = {"dense"};
  BOOST_TEST(trained(c).size() == expected.size() + 6);
  BOOST_TEST(first_trained_unit(c) == 1);
  c.train_only = {"("};
  TRM_TEST_MENTIONS(error_of([&] { (void)count_trained(c); }),
                    "train_only: '(' is not a regular expression (missing ): ()");
}

BOOST_AUTO_TEST_CASE(operations_count_what_trains) {
  const ModelConfig all = tiny_config();
  const auto matrices = [&](UnitKind kind) {
    double n = 0;
    visit_unit(all, kind,
               [&](const Parameter& p) { n += static_cast<double>(p.global_shape.count()); });
    return n;
  };
  const double layer = matrices(UnitKind::layer);
  const double ends = matrices(UnitKind::norm) + matrices(UnitKind::head);
  const double attention = 4.0 * 16 * 8;
  BOOST_TEST(flops_per_token(all) == 6 * (2 * layer + ends) + 6 * attention);
  ModelConfig head = all;
  head.train_only = {"embed_out"};
  BOOST_TEST(flops_per_token(head) == 2 * (2 * layer + matrices(UnitKind::norm)) +
                                          6 * matrices(UnitKind::head) + 2 * attention);
  ModelConfig last = all;
  last.train_only = {"layers.1.mlp"};
  double mlp = 0;
  visit_unit(all, UnitKind::layer, [&](const Parameter& p) {
    if (p.name.find(".mlp.") != std::string::npos) {
      mlp += static_cast<double>(p.global_shape.count());
    }
  });
  BOOST_TEST(flops_per_token(last) == 2 * layer + 4 * (layer + ends) + 2 * mlp + 4 * attention);
}
