// SPDX-License-Identifier: Apache-2.0
// Encoders as transformers computes them: logits, loss and every gradient, with padding, types
// of tokens and targets that don't count.
#include "encoders.hpp"

#include <cmath>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/weight_writer.hpp"
#include "trireme/huggingface/export.hpp"
#include "trireme/huggingface/model_folder.hpp"

#include "../support/error_of.hpp"
#include "../support/golden/golden.hpp"
#include "../support/temporary_folder.hpp"
#include "../support/thread_ranks.hpp"
#include "published.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;
using huggingface::ModelFolder;

/// The folder's model for the reference's sequences.
ModelConfig model_of(const ModelFolder& folder) {
  ModelConfig model = folder.deck().model;
  model.seq_length = kEncoderSequence;
  model.hidden_dropout = model.attention_dropout = 0;
  return model;
}

Tensor upload(const Exec& ex, const std::vector<std::int32_t>& numbers) {
  Tensor t = ex.make(DType::i32, Shape{std::ssize(numbers)});
  assign(ex, numbers, t);
  return t;
}

/// What the reference was computed from. Padding has no keys.
MicroBatch micro_batch(const Exec& ex, const ModelConfig& model) {
  const EncoderRows rows(model.vocab_size, model.type_vocab_size);
  MicroBatch mb;
  mb.batch = kEncoderBatch;
  mb.seq = kEncoderSequence;
  mb.loss_weight = 1.0 / static_cast<double>(rows.counted);
  mb.tokens = upload(ex, rows.tokens);
  mb.targets = upload(ex, rows.targets);
  mb.first_keys = upload(ex, rows.first_keys);
  mb.end_keys = upload(ex, rows.end_keys);
  if (!rows.types.empty()) mb.token_types = upload(ex, rows.types);
  mb.loss_sum = ex.zeros(DType::f64, Shape{3});
  return mb;
}

/// This rank's box of a parameter, or of its gradient, from a folder.
std::vector<float> box_of(ModelFolder& folder, const Parameter& p) {
  std::vector<float> values(static_cast<std::size_t>(p.box.count()));
  folder.read("model/" + p.name, p.global_shape, p.box,
              View(values.data(), DType::f32, p.box.extent));
  return values;
}

struct Layout {
  const char* name;
  int tp = 1;  ///< 0: as many as the model has heads, at most 3
  bool sequence_parallel = false;
  int parts = 1;
  RecomputeConfig recompute = {};
  DType type = DType::f32;
};
std::ostream& operator<<(std::ostream& out, const Layout& l) { return out << l.name; }
const Layout kLayouts[] = {
    {"one rank", 1, false, 1, {}, DType::f64},
    {"one rank in fp32"},
    {"tp", 0},
    {"tp, sequence parallel", 0, true},
    {"pp 2", 1, false, 2},
    {"selective recompute", 1, false, 1, {RecomputeConfig::Kind::selective}},
    {"full recompute, pp 2", 1, false, 2, {RecomputeConfig::Kind::full}},
    {"full recompute, tp, sequence parallel", 0, true, 1, {RecomputeConfig::Kind::full, 2}}};

/// The model with the folder's weights, in one part or two.
struct Encoder {
  Encoder(const Exec& exec, ModelFolder& folder, const Layout& layout, const TensorParallel& tp)
      : ex(exec), model(model_of(folder)) {
    const auto units = static_cast<int>(list_units(model).size());
    const int middle = layout.parts == 1 ? units : units / 2;
    parts.push_back(
        std::make_unique<ModelPart>(ex, layout.type, model, tp, 0, middle, layout.recompute));
    if (middle < units) {
      parts.push_back(std::make_unique<ModelPart>(ex, layout.type, model, tp, middle, units,
                                                  layout.recompute));
    }
    store = std::make_unique<ParameterStore>(ex, layout.type, list_parameters(parts));
    for (const Parameter* p : store->parameters()) assign(ex, box_of(folder, *p), p->value);
  }

  /// Forward and backward of the parts, one after another.
  void train(const MicroBatch& mb) const {
    std::vector<Tape> tapes(parts.size(), Tape(mb));
    Tensor x;
    for (std::size_t i = 0; i < parts.size(); ++i) x = parts[i]->forward(ex, x, tapes[i]);
    Tensor d;
    for (std::size_t i = parts.size(); i-- > 0;) d = parts[i]->backward(ex, d, tapes[i]);
  }

  const Exec& ex;
  ModelConfig model;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
};

/// Throws Error where a gradient differs from the reference's.
void require_gradients(const Encoder& encoder, const std::string& name, Communicator& tp,
                       double most) {
  ModelFolder gradients(published_folder(name) + "/gradients");
  std::map<std::string, std::vector<double>> sums;  // a table and its copy add up
  std::map<std::string, const Parameter*> named;
  for (Parameter* p : encoder.store->parameters()) {
    if (p->sum_over.has(Axis::tp)) tp.all_reduce(p->grad, Reduction::sum);
    const std::vector<double> got = numbers(encoder.ex, p->grad);
    std::vector<double>& sum = sums[p->name];
    sum.resize(got.size());
    for (std::size_t i = 0; i < got.size(); ++i) sum[i] += got[i];
    named[p->name] = p;
  }
  for (const auto& [parameter, got] : sums) {
    const auto expected = box_of(gradients, *named.at(parameter));
    Distance d;
    for (std::size_t i = 0; i < got.size(); ++i) d.add(got[i], expected[i]);
    TRM_REQUIRE(d.reference > 0 && d.relative() <= most, "the gradient of {} differs by {:.1e}",
                parameter, d.relative());
  }
}

void require_as_reference(const std::string& name, const Layout& layout, Communicator& world) {
  const Machine machine;
  const auto comm = machine.exchanges(world.split(0, world.rank()));
  const TensorParallel tp{comm->size() > 1 ? comm.get() : nullptr, layout.sequence_parallel};
  ModelFolder folder(published_folder(name));
  const Encoder encoder(machine.ex, folder, layout, tp);
  const MicroBatch mb = micro_batch(machine.ex, encoder.model);
  encoder.train(mb);
  const double loss = loss_of(machine.ex, mb);
  const double expected = Reference(name).loss;
  TRM_REQUIRE(std::abs(loss - expected) <= 1e-6 * expected, "the loss is {}, not {}", loss,
              expected);
  require_gradients(encoder, name, *comm, layout.type == DType::f64 ? 1e-6 : 2e-5);
}

}  // namespace

BOOST_DATA_TEST_CASE(logits_of_encoders_agree, bdata::make(kEncoders), name) {
  const Machine machine;
  ModelFolder folder(published_folder(name));
  const Encoder encoder(machine.ex, folder, kLayouts[1], {});
  MicroBatch mb = micro_batch(machine.ex, encoder.model);
  mb.training = false;
  Tape tape(mb);
  const auto got = numbers(machine.ex, encoder.parts[0]->logits(machine.ex, {}, tape));
  const Reference reference(name);
  const EncoderRows rows(encoder.model.vocab_size, 0);
  const auto columns = static_cast<std::size_t>(encoder.model.vocab_size);
  BOOST_REQUIRE(got.size() == reference.logits.size());
  double worst = 0;
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::size_t row = i / columns;
    if (rows.end_keys[row] == rows.first_keys[row]) continue;  // padding
    const auto expected = static_cast<double>(reference.logits[i]);
    worst = std::max(worst, std::abs(got[i] - expected));
    largest = std::max(largest, std::abs(expected));
  }
  BOOST_TEST(largest > 0.3);
  BOOST_TEST(worst <= 1e-5, name << ": logits differ by " << worst << " of " << largest);
}

BOOST_DATA_TEST_CASE(losses_and_gradients_of_encoders_agree,
                     bdata::make(kEncoders) * bdata::make(kLayouts), name, layout) {
  const ModelFolder described(published_folder(name));
  const auto heads = static_cast<int>(described.deck().model.num_attention_heads);
  const int ranks = layout.tp == 1 ? 1 : heads % 2 == 0 ? 2 : heads;
  if (layout.sequence_parallel && kEncoderBatch * kEncoderSequence % ranks != 0) return;
  const std::string error =
      as_ranks(ranks, [&](Communicator& world) { require_as_reference(name, layout, world); });
  BOOST_TEST(error.empty(), name << " on " << layout.name << ": " << error);
}

BOOST_DATA_TEST_CASE(export_gives_the_encoder_again, bdata::make(kEncoders), name) {
  const TemporaryFolder folder(memory_folder());
  ModelFolder source(published_folder(name));
  // A deck says as much of XLM-RoBERTa as of RoBERTa.
  const std::string type = source.model_type() == "xlm-roberta" ? "xlm-roberta" : "";
  const auto done = huggingface::write_model_folder(
      source, source.deck(), {}, {.to = folder / "out", .model_type = type, .origin = "here"});
  BOOST_TEST(done.model_type == source.model_type());
  huggingface::WeightFiles before(published_folder(name));
  huggingface::WeightFiles after(folder / "out");
  BOOST_TEST(before.names() == after.names());
  for (const std::string& tensor : before.names()) {
    BOOST_TEST(floats_of(before, tensor) == floats_of(after, tensor), tensor);
  }
  const ModelFolder again(folder / "out");
  BOOST_TEST(huggingface::model_differences(source.deck(), again.deck()).empty());
  BOOST_TEST(!std::filesystem::exists(folder / "out/generation_config.json"));
}
