// SPDX-License-Identifier: Apache-2.0
// muP's factors against those of the package `mup`, and the file of a base model's widths.
#include "trireme/model/mup.hpp"

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include <boost/test/unit_test.hpp>

#include "trireme/deck/mup_file.hpp"
#include "trireme/model/init.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/optim/width_rate.hpp"

#include "../support/temporary_folder.hpp"
#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

/// A line of mup.txt.
struct Golden {
  double normal = 0;
  double xavier = 0;
  double adam_rate = 0;
  double adam_decay = 0;
  double sgd_rate = 0;
  double sgd_decay = 0;
};

std::map<std::string, Golden> golden() {
  std::ifstream file(TRIREME_TEST_DIR "/support/golden/mup.txt");
  std::map<std::string, Golden> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    Golden g;
    words >> name >> g.normal >> g.xavier >> g.adam_rate >> g.adam_decay >> g.sgd_rate >>
        g.sgd_decay;
    BOOST_REQUIRE_MESSAGE(words, line);
    all[name] = g;
  }
  return all;
}

/// make_mup.py has the same widths.
ModelConfig wide_model() {
  ModelConfig m;
  m.num_layers = 2;
  m.hidden_size = 96;
  m.num_attention_heads = 6;
  m.num_kv_heads = 3;
  m.kv_channels = 20;
  m.intermediate_size = 448;
  m.vocab_size = 50;
  m.seq_length = m.max_position_embeddings = 16;
  m.no_weight_tying = true;
  m.use_bias_in_output = true;
  m.mup = {.enabled = true,
           .hidden_size = 32,
           .num_attention_heads = 4,
           .num_kv_heads = 2,
           .kv_channels = 10,
           .mlp_width = 128};
  return m;
}

double deviation(const ModelConfig& model, const Parameter& p, InitMethod method) {
  Parameter as = p;
  as.init = method;
  const double factor = init_rule(model, as).factor;
  if (method == InitMethod::normal) return factor * 0.02;
  const auto n = static_cast<double>(p.global_shape[0] + p.global_shape[1]);
  return factor * std::sqrt(2 / n);
}

const std::string kMup = R"(
num_layers: 2
hidden_size: 48
num_attention_heads: 4
seq_length: 8
train_micro_batch_size_per_gpu: 1
train_iters: 1
vocab_size: 50
optimizer: {params: {lr: 1e-3}}
use_mup: true
)";

struct DeckFile {
  TemporaryFolder folder;
  std::string deck = folder / "deck.yml";
  std::string widths = folder / "widths.yml";

  explicit DeckFile(const std::string& more) {
    std::ofstream(deck) << kMup << "base_shapes_file: " << widths << "\n" << more;
  }
  [[nodiscard]] Deck read(const std::vector<std::string>& overrides = {}) const {
    Deck d = read_deck({deck}, overrides);
    resolve(d, 1);
    return d;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(mup)

BOOST_AUTO_TEST_CASE(factors_are_those_of_the_package) {
  const ModelConfig model = wide_model();
  auto expected = golden();
  const auto close = boost::test_tools::tolerance(1e-12);
  std::size_t found = 0;
  visit_model(model, [&](int unit, const Parameter& p) {
    const std::string name =
        unit == 2 ? p.name.substr(std::string("layers.1.").size()) : p.name;
    if (!expected.contains(name) || unit == 1) return;
    ++found;
    const Golden& g = expected[name];
    BOOST_TEST_CONTEXT(name) {
      BOOST_TEST(width_rate(OptimizerKind::adamw, p.width) == g.adam_rate, close);
      BOOST_TEST(1 / width_rate(OptimizerKind::lion, p.width) == g.adam_decay, close);
      BOOST_TEST(width_rate(OptimizerKind::sgd, p.width) == g.sgd_rate, close);
      BOOST_TEST(1 / width_rate(OptimizerKind::sgd, p.width) == g.sgd_decay, close);
      if (p.global_shape.rank() < 2) return;
      BOOST_TEST(deviation(model, p, InitMethod::normal) == g.normal, close);
      BOOST_TEST(deviation(model, p, InitMethod::xavier_normal) == g.xavier, close);
    }
  });
  BOOST_TEST(found == expected.size());
}

BOOST_AUTO_TEST_CASE(initial_weights_have_the_deviation) {
  const ModelConfig model = wide_model();
  visit_model(model, [&](int, const Parameter& p) {
    if (p.name != "layers.0.mlp.dense_4h_to_h.weight") return;
    std::vector<float> values(static_cast<std::size_t>(p.global_shape.count()));
    fill_initial(View(values.data(), DType::f32, p.global_shape), Box::whole(p.global_shape),
                 p.global_shape, p.name, init_rule(model, p), 1);
    double squares = 0;
    for (const float x : values) squares += static_cast<double>(x) * x;
    const double expected = 0.02 / std::sqrt(2.0 * 2) / std::sqrt(448.0 / 128);  // 2 layers
    BOOST_TEST(std::sqrt(squares / static_cast<double>(values.size())) == expected,
               boost::test_tools::tolerance(0.02));
  });
}

BOOST_AUTO_TEST_CASE(factors_of_scores_logits_and_embeddings) {
  ModelConfig model = wide_model();
  model.mup.attn_temp = 0.5;
  model.mup.output_temp = 4;
  model.mup.embedding_mult = 7;
  BOOST_TEST(model.score_factor() == 1 / (20 * 0.5));
  BOOST_TEST(model.output_factor() == 32.0 / 96 / 4);
  BOOST_TEST(model.embedding_factor() == 7);
  model.mup.enabled = false;
  BOOST_TEST(model.score_factor() == 0);
  BOOST_TEST(model.output_factor() == 1);
  BOOST_TEST(model.embedding_factor() == 1);
  visit_model(model, [&](int, const Parameter& p) {
    BOOST_TEST((p.width == WidthScale{}));
    BOOST_TEST(init_rule(model, p).factor == 1);
  });
}

BOOST_AUTO_TEST_CASE(widths_that_the_deck_leaves_out_follow_from_the_model) {
  ModelConfig model = wide_model();
  model.kv_channels = 0;
  model.mup = {.enabled = true, .hidden_size = 24};
  const ModelConfig base = mup_base_model(model);
  BOOST_TEST(base.num_attention_heads == 6);
  BOOST_TEST(base.num_kv_heads == 3);
  BOOST_TEST(base.head_dim() == 4);
  BOOST_TEST(base.mlp_inner() == 112);
  BOOST_TEST(!base.mup.enabled);
}

BOOST_AUTO_TEST_CASE(a_file_of_widths_serves_wider_models) {
  const DeckFile file("");
  CHECK_CONTAINS(message_of([&] { (void)file.read(); }), "save_base_shapes=true");
  const Deck base = file.read({"save_base_shapes=true"});
  write_base_shapes(base);
  write_base_shapes(base);  // equal content is no conflict
  const Deck wide = file.read({"hidden_size=96", "num_attention_heads=8"});
  BOOST_TEST((wide.model.mup == MupConfig{.enabled = true,
                                          .hidden_size = 48,
                                          .num_attention_heads = 4,
                                          .num_kv_heads = 4,
                                          .kv_channels = 12,
                                          .mlp_width = 192}));
  BOOST_TEST((parse_deck(to_yaml(wide), "again").model == wide.model));
  CHECK_CONTAINS(message_of([&] { (void)file.read({"mup_base.hidden_size=47"}); }),
                 "mup_base.hidden_size: 47 contradicts base_shapes_file");
  Deck other = file.read({"save_base_shapes=true", "hidden_size=24"});
  CHECK_CONTAINS(message_of([&] { write_base_shapes(other); }), "holds other widths");
  other.overwrite = true;
  write_base_shapes(other);
  BOOST_TEST(file.read().model.mup.hidden_size == 24);
  std::ofstream(file.widths) << "0.word_embeddings.weight:\n- null\n- 256\n";
  CHECK_CONTAINS(message_of([&] { (void)file.read(); }), "does not hold mup_base alone");
}

BOOST_AUTO_TEST_SUITE_END()
