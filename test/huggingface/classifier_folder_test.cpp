// SPDX-License-Identifier: Apache-2.0
// A BERT that classifies texts, as transformers computes it and as its folder is written.
#include <cmath>
#include <filesystem>

#include <boost/test/unit_test.hpp>

#include "trireme/huggingface/export.hpp"
#include "trireme/huggingface/model_folder.hpp"

#include "../../src/huggingface/safetensors_writer.hpp"
#include "../support/golden/golden.hpp"
#include "../support/temporary_folder.hpp"
#include "encoders.hpp"
#include "published.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;
using huggingface::ModelFolder;

constexpr const char* kName = "bert_classifier";

Tensor uploaded(const Exec& ex, const std::vector<std::int32_t>& values) {
  Tensor t = ex.make(DType::i32, Shape{std::ssize(values)});
  assign(ex, values, t);
  return t;
}

/// The tensors of BERT as its bare encoder's folder has them, with a pooler.
class Bare : public WeightSource {
 public:
  explicit Bare(huggingface::WeightFiles& from, std::string head = "") : from_(from) {
    for (const std::string& name : from.names()) {
      if (name.starts_with(kBase)) there_[name.substr(std::size(kBase) - 1)] = name;
    }
    const std::string matrix = "bert.encoder.layer.0.attention.output.dense";
    there_["pooler.dense.weight"] = matrix + ".weight";
    there_["pooler.dense.bias"] = matrix + ".bias";
    if (!head.empty()) there_[head] = head;
  }
  [[nodiscard]] bool has(const std::string& name) const override {
    return there_.contains(name);
  }
  [[nodiscard]] Shape global_shape(const std::string& name) const override {
    return from_.global_shape(there_.at(name));
  }
  [[nodiscard]] DType dtype(const std::string& name) const override {
    return from_.dtype(there_.at(name));
  }
  [[nodiscard]] std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [here, there] : there_) all.push_back(here);
    return all;
  }
  using trireme::WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override {
    from_.read(there_.at(name), global, box, to);
  }

 private:
  static constexpr char kBase[] = "bert.";
  huggingface::WeightFiles& from_;
  std::map<std::string, std::string> there_;
};

void write_bare(const std::string& folder, const std::string& head = "") {
  huggingface::WeightFiles from(published_folder("bert"));
  std::filesystem::create_directory(folder);
  std::filesystem::copy_file(published_folder("bert") + "/config.json",
                             folder + "/config.json");
  Bare bare(from, head);
  huggingface::write_files(folder, {.source = bare});
}

std::vector<float> all_of(ModelFolder& folder, const std::string& name) {
  const Shape shape = folder.global_shape(name);
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  folder.read(name, shape, Box::whole(shape), View(values.data(), DType::f32, shape));
  return values;
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_encoder_without_its_head_gives_its_pooler) {
  const TemporaryFolder place(memory_folder());
  write_bare(place / "bare");
  ModelFolder bare(place / "bare");
  ModelFolder whole(published_folder("bert"));
  BOOST_TEST(!bare.has("model/output_transform.dense.weight"));
  BOOST_TEST(!bare.has("model/embed_out.bias"));
  for (const std::string& name : bare.names()) {
    BOOST_TEST(all_of(bare, name) == all_of(whole, name), name);
  }
  BOOST_TEST(bare.names().size() == whole.names().size() - 5);
  for (const char* end : {".weight", ".bias"}) {
    const std::string here = std::string("model/pooler.dense") + end;
    BOOST_TEST(!whole.has(here));
    BOOST_TEST(all_of(bare, here) ==
               all_of(whole, std::string("model/layers.0.attention.dense") + end));
  }
  // A part of the head alone is no such folder.
  write_bare(place / "partly", "cls.predictions.transform.dense.bias");
  BOOST_CHECK_THROW(ModelFolder(place / "partly"), Error);
}

BOOST_AUTO_TEST_CASE(a_classifiers_folder_says_its_task) {
  const Deck deck = ModelFolder(published_folder(kName)).deck();
  BOOST_TEST((deck.model.task == Task::sequence_classification));
  BOOST_TEST(deck.model.num_labels == 3);
  BOOST_TEST(deck.model.classifier_pooler);
  BOOST_TEST(!deck.model.output_transform);
  BOOST_TEST(
      (ModelFolder(published_folder("bert")).deck().model.task == Task::masked_language_model));
}

BOOST_AUTO_TEST_CASE(logits_of_a_classifier_agree) {
  const Machine machine;
  const Exec& ex = machine.ex;
  ModelFolder folder(published_folder(kName));
  ModelConfig model = folder.deck().model;
  model.seq_length = kEncoderSequence;
  const auto units = static_cast<int>(list_units(model).size());
  std::vector<std::unique_ptr<ModelPart>> parts;
  parts.push_back(
      std::make_unique<ModelPart>(ex, DType::f32, model, TensorParallel{}, 0, units));
  const ParameterStore store(ex, DType::f32, list_parameters(parts));
  for (const Parameter* p : store.parameters()) {
    std::vector<float> values(static_cast<std::size_t>(p->box.count()));
    folder.read("model/" + p->name, p->global_shape, p->box,
                View(values.data(), DType::f32, p->box.extent));
    assign(ex, values, p->value);
  }
  const EncoderRows rows(model.vocab_size, model.type_vocab_size);
  MicroBatch mb;
  mb.batch = kEncoderBatch;
  mb.seq = kEncoderSequence;
  mb.sample_targets = 1;
  mb.training = false;
  mb.tokens = uploaded(ex, rows.tokens);
  mb.token_types = uploaded(ex, rows.types);
  mb.first_keys = uploaded(ex, rows.first_keys);
  mb.end_keys = uploaded(ex, rows.end_keys);
  mb.targets = uploaded(ex, {0, 1});
  mb.classifier_rows = uploaded(ex, {0, kEncoderSequence});
  mb.class_logits = ex.zeros(DType::f32, Shape{kEncoderBatch, model.num_labels});
  mb.loss_sum = ex.zeros(DType::f64, Shape{3});
  Tape tape(mb);
  (void)parts[0]->forward(ex, {}, tape);
  huggingface::WeightFiles reference(published_folder(kName) + "/reference");
  const std::vector<float> expected = floats_of(reference, "logits");
  const auto got = numbers(ex, mb.class_logits);
  BOOST_REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    BOOST_TEST(std::abs(got[i] - static_cast<double>(expected[i])) <= 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(a_classifiers_folder_is_written_again) {
  const TemporaryFolder folder(memory_folder());
  ModelFolder source(published_folder(kName));
  (void)huggingface::write_model_folder(source, source.deck(), {},
                                        {.to = folder / "out", .origin = "here"});
  huggingface::WeightFiles before(published_folder(kName));
  huggingface::WeightFiles after(folder / "out");
  BOOST_TEST(before.names() == after.names());
  for (const std::string& tensor : before.names()) {
    BOOST_TEST(floats_of(before, tensor) == floats_of(after, tensor), tensor);
  }
  const ModelFolder again(folder / "out");
  BOOST_TEST(huggingface::model_differences(source.deck(), again.deck()).empty());
}
