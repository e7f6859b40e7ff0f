// SPDX-License-Identifier: Apache-2.0
// Models that classify texts or images against Hugging Face transformers: logits, loss and
// every gradient, on as many ranks of tp as there are heads for, with and without sequence
// parallelism.
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"
#include "trireme/model/patches.hpp"

#include "../support/golden/golden.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

constexpr std::int64_t kBatch = 4;
constexpr std::int64_t kSeq = 11;
constexpr std::int64_t kClasses = 6;

ModelConfig vision_config() {
  ModelConfig c;
  c.num_layers = 2;
  c.hidden_size = 24;
  c.num_attention_heads = c.num_kv_heads = 4;
  c.vocab_size = kClasses;
  c.intermediate_size = 44;
  c.task = Task::image_classification;
  c.bidirectional_attention = true;
  c.no_weight_tying = true;
  c.patch_size = 3;
  c.image_size = {9, 15};
  c.num_channels = 3;
  c.image_mean = 0.4;
  c.image_std = 0.3;
  c.label_smoothing = 0.1;
  c.seq_length = c.max_position_embeddings = c.vision_rows();
  return c;
}

ModelConfig classifier_config(const std::string& name) {
  if (name == "vit") return vision_config();
  const bool bert = name.starts_with("bert");
  ModelConfig c;
  c.num_layers = 2;
  c.hidden_size = 24;
  c.num_attention_heads = c.num_kv_heads = 4;
  c.vocab_size = 37;
  c.seq_length = kSeq;
  c.intermediate_size = bert ? 44 : 48;
  c.task = Task::sequence_classification;
  c.num_labels = kClasses;
  c.max_position_embeddings = 16;
  if (bert) {
    c.norm_placement = NormPlacement::after_sum;
    c.type_vocab_size = 2;
    c.embedding_norm = true;
    c.bidirectional_attention = true;
    c.classifier_pooler = name == "bert";
    if (name == "bert_mean") c.classifier_row = ClassifierRow::mean;
  } else {
    c.pos_emb = PositionEmbedding::rotary;
    c.rotary_pct = 1;
    c.gpt_j_residual = true;
  }
  return c;
}

/// A case of classifier.h5 or vision.h5, and its model.
struct ClassifierCase {
  ClassifierCase(const std::string& name, DType dtype, bool sequence_parallel)
      : config(classifier_config(name)),
        bert(config.type_vocab_size > 0),
        file(golden_file(name == "vit" || name == "bert_mean" ? "vision.h5" : "classifier.h5"),
             h5::Mode::read),
        group(file.group(name)),
        world(world_communicator()) {
    int width = world->size();
    while (config.num_kv_heads % width != 0) width /= 2;
    comm = machine.exchanges(world->split(world->rank() / width, world->rank()));
    tp = {comm.get(), sequence_parallel};
    const auto units = static_cast<int>(list_units(config).size());
    parts.push_back(std::make_unique<ModelPart>(machine.ex, dtype, config, tp, 0, units));
    store = std::make_unique<ParameterStore>(machine.ex, dtype, list_parameters(parts));
    for (const Parameter* p : store->parameters()) {
      assign(machine.ex, part("param", *p), p->value);
    }
  }

  [[nodiscard]] std::vector<float> part(const std::string& kind, const Parameter& p) const {
    std::vector<float> v(static_cast<std::size_t>(p.box.count()));
    group.dataset(kind + "/" + p.name).read(p.box, View(v.data(), DType::f32, p.box.extent));
    return v;
  }
  template <class T>
  [[nodiscard]] std::vector<T> read(const std::string& name) const {
    const auto data = group.dataset(name);
    std::vector<T> v(static_cast<std::size_t>(data.shape().count()));
    data.read(View(v.data(), kDTypeOf<T>, data.shape()));
    return v;
  }
  [[nodiscard]] Tensor uploaded(const std::vector<std::int32_t>& numbers) const {
    Tensor t = machine.ex.make(DType::i32, Shape{std::ssize(numbers)});
    assign(machine.ex, numbers, t);
    return t;
  }
  /// The images' bytes in the order of patches.
  [[nodiscard]] std::vector<std::int32_t> patches() const {
    const auto bytes = read<std::uint8_t>("images");
    std::vector<std::int32_t> numbers;
    const auto size = static_cast<std::size_t>(config.image_bytes());
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      for (const std::int32_t i : patch_order(config)) {
        numbers.push_back(i < 0 ? i : bytes[at + static_cast<std::size_t>(i)]);
      }
    }
    return numbers;
  }
  [[nodiscard]] MicroBatch micro_batch() const {
    MicroBatch mb;
    mb.batch = kBatch;
    mb.seq = config.seq_length;
    mb.sample_targets = 1;
    mb.loss_weight = 1.0 / kBatch;
    mb.targets = uploaded(read<std::int32_t>("labels"));
    mb.loss_sum = machine.ex.zeros(DType::f64, Shape{3});
    if (config.is_vision()) {
      mb.tokens = uploaded(patches());
      mb.classifier_rows = uploaded({0, 16, 32, 48});
      return mb;
    }
    mb.tokens = uploaded(read<std::int32_t>("tokens"));
    std::vector<std::int32_t> rows;
    std::vector<std::int32_t> samples;
    std::vector<float> factors(kBatch * kBatch, 0);
    std::vector<std::int32_t> first;
    std::vector<std::int32_t> end;
    std::int32_t begin = 0;
    for (const std::int32_t length : read<std::int32_t>("lengths")) {
      rows.push_back(begin + (bert ? 0 : length - 1));
      const auto sample = static_cast<std::int32_t>(rows.size()) - 1;
      factors[static_cast<std::size_t>(sample * (kBatch + 1))] =
          1.0F / static_cast<float>(length);
      begin += kSeq;
      for (std::int32_t i = 0; i < kSeq; ++i) {
        first.push_back(i < length ? 0 : length);
        end.push_back(length);
        samples.push_back(i < length ? sample : -1);
      }
    }
    mb.classifier_rows = uploaded(rows);
    if (config.classifier_row == ClassifierRow::mean) {
      mb.classifier_rows = {};
      mb.samples_of_rows = uploaded(samples);
      mb.mean_factors = machine.ex.make(DType::f32, Shape{kBatch, kBatch});
      assign(machine.ex, factors, mb.mean_factors);
    }
    if (!bert) return mb;
    mb.first_keys = uploaded(first);
    mb.end_keys = uploaded(end);
    return mb;
  }

  ModelConfig config;
  bool bert;
  h5::File file;
  h5::Group group;
  Machine machine;
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> comm;
  TensorParallel tp;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
};

}  // namespace

BOOST_DATA_TEST_CASE(a_classifier_equals_transformers,
                     bdata::make({"gpt_neox", "bert", "bert_mean", "vit"}) *
                         bdata::make(machine_types()) * bdata::make({false, true}),
                     name, dtype, sequence_parallel) {
  ClassifierCase c(name, dtype, sequence_parallel);
  const Exec& ex = c.machine.ex;
  if (kBatch * c.config.seq_length % c.tp.size() != 0) return;
  const double tolerance = dtype == DType::f64 ? 2e-7 : 1e-5;

  MicroBatch asked = c.micro_batch();
  asked.training = false;
  asked.class_logits = ex.zeros(DType::f32, Shape{kBatch, kClasses});
  Tape still(asked);
  (void)c.parts[0]->forward(ex, {}, still);
  Distance of_logits;
  const auto expected_logits = c.read<float>("logits");
  const auto logits = numbers(ex, asked.class_logits);
  for (std::size_t i = 0; i < logits.size(); ++i) of_logits.add(logits[i], expected_logits[i]);
  BOOST_TEST(of_logits.relative() <= 1e-5);

  const MicroBatch mb = c.micro_batch();
  Tape tape(mb);
  (void)c.parts[0]->forward(ex, {}, tape);
  const double expected = c.read<double>("loss").front();
  BOOST_TEST(std::abs(loss_of(ex, mb) - expected) <= tolerance * expected);
  (void)c.parts[0]->backward(ex, {}, tape);
  BOOST_TEST(tape.empty());
  for (Parameter* p : c.store->parameters()) {
    if (p->sum_over.has(Axis::tp)) c.comm->all_reduce(p->grad, Reduction::sum);
    const auto reference = c.part("grad", *p);
    const auto got = numbers(ex, p->grad);
    Distance d;
    for (std::size_t i = 0; i < reference.size(); ++i) d.add(got[i], reference[i]);
    BOOST_TEST(d.relative() <= 10 * tolerance, p->name << " differs by " << d.relative());
  }
}
