// SPDX-License-Identifier: Apache-2.0
// Published models as transformers computes them: logits and loss on one rank and on meshes,
// and the files again from what was loaded.
#include <cmath>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/weight_writer.hpp"
#include "trireme/huggingface/export.hpp"
#include "trireme/huggingface/model_folder.hpp"
#include "trireme/train/trainer.hpp"

#include "../model/parameter_store.hpp"
#include "../support/golden/machine.hpp"
#include "../support/temporary_folder.hpp"
#include "../support/thread_ranks.hpp"
#include "published.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;
using huggingface::ModelFolder;

/// The folder's deck for the reference's sequences.
Deck deck_for(const ModelFolder& folder) {
  Deck deck = folder.deck();
  deck.model.seq_length = kSequence;
  deck.model.hidden_dropout = deck.model.attention_dropout = deck.model.lora.dropout = 0;
  deck.train_micro_batch_size_per_gpu = 1;
  deck.gradient_accumulation_steps = 0;
  deck.train_batch_size = kBatch;
  return deck;
}

/// Logits of all sequences on one rank, by the model that the folder describes.
std::vector<double> logits_of(ModelFolder& folder) {
  const Machine machine;
  const Exec& ex = machine.ex;
  const Deck deck = deck_for(folder);
  const TensorParallel alone;
  std::vector<std::unique_ptr<ModelPart>> parts;
  const auto units = static_cast<int>(list_units(deck.model).size());
  parts.push_back(std::make_unique<ModelPart>(ex, DType::f32, deck.model, alone, 0, units));
  const ParameterStore store(ex, DType::f32, list_parameters(parts));
  for (const Parameter* p : store.parameters()) {
    assign(ex, floats_of(folder, "model/" + p->name), p->value);
  }
  std::vector<std::int32_t> inputs;
  for (std::int64_t b = 0; b < kBatch; ++b) {
    for (std::int64_t i = 0; i < kSequence; ++i) {
      inputs.push_back(published_token(b, i, deck.model.vocab_size));
    }
  }
  MicroBatch mb;
  mb.batch = kBatch;
  mb.seq = kSequence;
  mb.training = false;
  mb.tokens = ex.make(DType::i32, Shape{kBatch * kSequence});
  mb.targets = ex.make(DType::i32, Shape{kBatch * kSequence});
  mb.loss_sum = ex.zeros(DType::f64, Shape{3});
  assign(ex, inputs, mb.tokens);
  Tape tape(mb);
  return numbers(ex, parts[0]->logits(ex, {}, tape));
}

struct TestMesh {
  const char* name;
  int ranks;
  int tp;
  int pp;
  int stage;
};
std::ostream& operator<<(std::ostream& out, const TestMesh& m) { return out << m.name; }
constexpr TestMesh kMeshes[] = {{"one rank", 1, 1, 1, 0},
                                {"tp", 2, 2, 1, 0},
                                {"pp 2", 2, 1, 2, 1},
                                {"dp 2, ZeRO 3", 2, 1, 1, 3}};

}  // namespace

BOOST_DATA_TEST_CASE(logits_agree, bdata::make(kPublished) + bdata::make(kAdapted), name) {
  ModelFolder folder(published_folder(name));
  const Reference reference(name);
  const std::vector<double> got = logits_of(folder);
  BOOST_REQUIRE(got.size() == reference.logits.size());
  double worst = 0;
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::abs(got[i] - static_cast<double>(reference.logits[i])));
    largest = std::max(largest, std::abs(static_cast<double>(reference.logits[i])));
  }
  BOOST_TEST(largest > 0.3);
  BOOST_TEST(worst <= 1e-5, name << ": logits differ by " << worst << " of " << largest);
}

BOOST_DATA_TEST_CASE(losses_agree_on_meshes,
                     (bdata::make(kPublished) + bdata::make(kAdapted)) * bdata::make(kMeshes),
                     name, layout) {
  const ModelFolder described(published_folder(name));
  Deck deck = deck_for(described);
  if (layout.pp > deck.model.num_layers) return;
  // The models have 2 or 3 heads of keys, so that tp is 2 or 3.
  const auto tp = layout.tp == 1 ? 1 : static_cast<int>(deck.model.num_kv_heads);
  const int ranks = layout.ranks / layout.tp * tp;
  deck.model_parallel_size = tp;
  deck.pipe_parallel_size = layout.pp;
  deck.zero.stage = layout.stage;
  resolve(deck, ranks);
  const std::string error = as_ranks(ranks, [&](Communicator& world) {
    const Machine machine;
    const Mesh mesh(mesh_shape(deck, ranks), world);
    PhaseClock clock;
    Trainer trainer(machine.ex, deck, mesh, clock);
    ModelFolder source(published_folder(name));
    trainer.load(source, false, 0);
    trainer.wait_for_values();
    const PublishedTokens tokens(deck.model.vocab_size);
    const auto found = trainer.evaluate(trainer.layout().needs_tokens() ? &tokens : nullptr, 1);
    const double expected = Reference(name).loss;
    TRM_REQUIRE(found && std::abs(found->loss - expected) <= 1e-5, "the loss is {}, not {}",
                found ? found->loss : -1, expected);
  });
  BOOST_TEST(error.empty(), name << " on " << layout.name << ": " << error);
}

BOOST_DATA_TEST_CASE(export_gives_the_files_again, bdata::make(kPublished), name) {
  const TemporaryFolder folder(memory_folder());
  ModelFolder source(published_folder(name));
  const auto done = huggingface::write_model_folder(
      source, source.deck(), {},
      {.to = folder / "out", .most_bytes = 20'000, .origin = "here"});
  BOOST_TEST(done.model_type == source.model_type());
  huggingface::WeightFiles before(published_folder(name));
  huggingface::WeightFiles after(folder / "out");
  BOOST_TEST(before.names() == after.names());
  for (const std::string& tensor : before.names()) {
    BOOST_TEST((before.global_shape(tensor) == after.global_shape(tensor)), tensor);
    BOOST_TEST(floats_of(before, tensor) == floats_of(after, tensor), tensor);
  }
  const ModelFolder again(folder / "out");
  BOOST_TEST(huggingface::model_differences(source.deck(), again.deck()).empty());
  BOOST_TEST(std::filesystem::exists(folder / "out/model.safetensors.index.json"));
  BOOST_TEST(std::filesystem::exists(folder / "out/README.md"));
}

BOOST_AUTO_TEST_CASE(a_checkpoint_of_a_published_model_holds_its_weights) {
  const TemporaryFolder folder(memory_folder());
  ModelFolder source(published_folder("gptj"));
  RunState state;
  state.deck = to_yaml(source.deck());
  write_weights(folder / "run", state, {.source = source});
  CheckpointReader reader(folder / "run/global_step0");
  reader.verify([](std::int64_t) {});
  BOOST_TEST(reader.names() == source.names());
  for (const std::string& name : source.names()) {
    BOOST_TEST(floats_of(reader, name) == floats_of(source, name), name);
  }
}

BOOST_AUTO_TEST_CASE(half_precision_is_rounded_once) {
  const TemporaryFolder folder(memory_folder());
  ModelFolder source(published_folder("llama"));
  huggingface::write_model_folder(source, source.deck(), {},
                                  {.to = folder / "half", .type = DType::bf16, .origin = "x"});
  ModelFolder half(folder / "half");
  const std::string name = "model/layers.1.attention.query_key_value.weight";
  BOOST_TEST(name_of(half.dtype(name)) == name_of(DType::bf16));
  const auto exact = floats_of(source, name);
  const auto rounded = floats_of(half, name);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    BOOST_TEST(rounded[i] == static_cast<float>(Bf16(exact[i])));
  }
}
