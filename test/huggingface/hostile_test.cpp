// SPDX-License-Identifier: Apache-2.0
// Headers, indexes and configs that no one should trust: each fault by its name, and a second
// of random damage.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/core/regular_file.hpp"
#include "trireme/huggingface/export.hpp"
#include "trireme/huggingface/model_folder.hpp"

#include "../../src/huggingface/config.hpp"
#include "../../src/huggingface/json.hpp"
#include "../../src/huggingface/safetensors_header.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "published.hpp"

namespace {

namespace bdata = boost::unit_test::data;
namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;
using huggingface::Json;
using huggingface::ModelFolder;

/// The error of a header before `bytes` bytes of tensors.
std::string header_error(const std::string& header, std::int64_t bytes) {
  return error_of([&] {
    static_cast<void>(huggingface::parse_header(
        header, huggingface::kLengthBytes + static_cast<std::int64_t>(header.size()) + bytes));
  });
}

struct Fault {
  const char* header;
  std::int64_t bytes;
  const char* said;
};
std::ostream& operator<<(std::ostream& out, const Fault& f) { return out << f.header; }

constexpr Fault kFaults[] = {
    {"[]", 0, "does not begin with {"},
    {"{", 0, "no JSON"},
    {R"({"a": 1})", 0, "no JSON object"},
    {R"({"a": {"dtype": "F32", "shape": [1]}})", 0, "no data_offsets"},
    {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "x": 1}})", 4, "besides"},
    {R"({"a": {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}})", 4, "F33"},
    {R"({"a": {"dtype": 3, "shape": [1], "data_offsets": [0, 4]}})", 4, "dtype is no text"},
    {R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", 4, "its shape holds"},
    {R"({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}})", 4,
     "its shape holds"},
    {R"({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}})", 4, "shape has over"},
    {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})", 4, "larger than"},
    {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})", 8, "needs 4 bytes"},
    {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}})", 8, "not within"},
    {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})", 4, "not within"},
    {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}})", 4, "not two numbers"},
    {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})", 8, "no tensor's"},
    {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})", 8,
     "4 bytes at its end"},
    {R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
         "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}})",
     3, "overlaps"},
    {R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
         "a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}})",
     2, "twice"},
    {R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296, 4294967296],
         "data_offsets": [0, 4]}})",
     4, "larger than"},
    {R"({"": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})", 4, "name"},
    {R"({"a\n": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})", 4, "name"},
    {R"({"__metadata__": {"a": 1}})", 0, "no text"},
    {R"({"a": {"dtype": "F32", "shape": [[[[1]]]], "data_offsets": [0, 4]}})", 4,
     "nested more than"},
};

/// A copy of a published model that a test may spoil.
class Copy {
 public:
  explicit Copy(const std::string& name) : folder_(memory_folder()) {
    fs::copy(published_folder(name), path());
  }
  [[nodiscard]] std::string path() const { return folder_ / "model"; }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return path() + "/" + name;
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path() + "/" + name, std::ios::binary) << text;
  }
  /// Sets a field of config.json.
  void set(const std::string& field, const Json& value) const {
    Json config = huggingface::read_object(*this / "config.json", 1'000'000);
    config[field] = value;
    write("config.json", config.dump());
  }
  [[nodiscard]] std::string error() const {
    return error_of([&] { ModelFolder folder(path()); });
  }

 private:
  TemporaryFolder folder_;
};

struct FieldFault {
  const char* model;
  const char* field;
  const char* value;
  const char* said;
};
std::ostream& operator<<(std::ostream& out, const FieldFault& f) {
  return out << f.model << "." << f.field << ": " << f.value;
}
constexpr FieldFault kFieldFaults[] = {
    {"llama", "model_type", R"("t5")", "models of the type t5"},
    {"llama", "model_type", "null", "model_type is missing"},
    {"llama", "some_new_scale", "2.5", "unknown field some_new_scale: 2.5"},
    {"llama", "quantization_config", R"({"bits": 4})", "quantization_config"},
    {"llama", "hidden_size", "null", "hidden_size is missing"},
    {"llama", "hidden_size", "0", "hidden_size must be a whole number"},
    {"llama", "hidden_size", "24.0", "hidden_size must be a whole number"},
    {"llama", "hidden_size", "1e300", "hidden_size must be a whole number"},
    {"llama", "hidden_act", R"("relu6")", "hidden_act is relu6"},
    {"llama", "rms_norm_eps", R"("small")", "rms_norm_eps must be a number"},
    {"llama", "rope_scaling", R"({"rope_type": "longrope", "factor": 2})", "longrope"},
    {"llama", "rope_scaling", R"({"rope_type": "linear", "factor": 2, "mscale": 1})", "mscale"},
    {"llama", "rope_scaling", "3", "rope_scaling must be an object"},
    {"llama", "num_key_value_heads", "5", "num_kv_heads"},
    {"gpt2", "scale_attn_by_inverse_layer_idx", "true", "scale_attn_by_inverse_layer_idx"},
    {"gpt2", "add_cross_attention", "true", "add_cross_attention"},
    {"gptj", "rotary_dim", "100", "rotary_dim 100"},
    {"phi", "qk_layernorm", "true", "qk_layernorm"},
    {"llama", "num_hidden_layers", "3", "missing: model.layers.2."},
    {"llama", "num_hidden_layers", "1", "unknown: model.layers.1."},
    {"llama", "intermediate_size", "44", "wrong in shape"},
    {"llama", "num_hidden_layers", "10000", "num_hidden_layers (n_layer) is 10000"},
    {"gpt2", "n_layer", "10000", "num_hidden_layers (n_layer) is 10000"},
    {"llama", "head_dim", "100000", "the sizes don't fit"},
    {"bert", "position_embedding_type", R"("relative_key")", "positions are rows of a table"},
    {"bert", "is_decoder", "true", "a decoder is another model"},
    {"bert", "tie_word_embeddings", "false", "the output matrix is that of the embedding"},
    {"bert", "num_hidden_layers", "1", "unknown: bert.encoder.layer.1."},
    {"bert", "some_scale", "2", "unknown field some_scale"},
    {"roberta", "hidden_act", R"("relu")", "the head's activation is gelu"},
    {"roberta", "pad_token_id", "-1", "pad_token_id must be a whole number"},
    {"roberta", "pad_token_id", "1000", "max_position_embeddings"},
    {"bert_classifier", "problem_type", R"("regression")", "a sample here has one class"},
    {"bert_classifier", "num_labels", "5", "but id2label names 3 classes"},
    {"distilbert", "sinusoidal_pos_embds", "true", "positions train"},
    {"llama", "tie_word_embeddings", "0", "must be true or false"},
    {"llama_dynamic", "rope_scaling",
     R"({"type": "dynamic", "factor": 3, "original_max_position_embeddings": 8})",
     "original_max_position_embeddings is 8, but only 16"},
    {"llama_dynamic", "rope_scaling", R"({"type": "linear", "factor": 3})",
     "rope_parameters and"},
    {"gemma", "use_bidirectional_attention", "true", "attention is causal here"},
    {"gemma3_text", "use_bidirectional_attention", "true", "attention is causal here"},
    {"gemma", "hidden_activation", R"("gelu")",
     R"(hidden_act is "gelu_pytorch_tanh", but hidden_activation is "gelu")"},
    {"gemma2", "sliding_window", "null", "sliding_window is null"},
    {"gemma3_text", "head_dim", "null", "head_dim is null"},
    {"gptj", "rotary_dim", "null", "rotary_dim is null"},
    {"qwen2_window", "max_window_layers", "0.5",
     "max_window_layers 0.5 is no number of layers"},
    {"qwen2_window", "max_window_layers", "-1", "max_window_layers -1 is no number of layers"},
    {"qwen2_window", "max_window_layers", "0", "layer_types gives layer 0 another attention"},
};

}  // namespace

BOOST_DATA_TEST_CASE(faults_of_headers, bdata::make(kFaults), fault) {
  TRM_TEST_MENTIONS(header_error(fault.header, fault.bytes), fault.said);
}

BOOST_AUTO_TEST_CASE(lengths_of_headers) {
  const unsigned char huge[8] = {255, 255, 255, 255, 255, 255, 255, 255};
  const unsigned char small[8] = {10, 0, 0, 0, 0, 0, 0, 0};
  TRM_TEST_MENTIONS(error_of([&] { (void)huggingface::header_length(huge, 1 << 30); }),
                    "at most");
  TRM_TEST_MENTIONS(error_of([&] { (void)huggingface::header_length(small, 17); }),
                    "more than");
  BOOST_TEST(huggingface::header_length(small, 18) == 10);
}

BOOST_DATA_TEST_CASE(faults_of_fields, bdata::make(kFieldFaults), fault) {
  const Copy copy(fault.model);
  copy.set(fault.field, Json::parse(fault.value));
  TRM_TEST_MENTIONS(copy.error(), fault.said);
}

BOOST_AUTO_TEST_CASE(fields_that_may_be_null_or_stand_twice) {
  const Copy qwen("qwen2");  // its sliding_window is null
  qwen.set("use_sliding_window", true);
  qwen.set("max_window_layers", 0);
  BOOST_CHECK_NO_THROW(ModelFolder(qwen.path()));
  const Copy dynamic("llama_dynamic");
  dynamic.set("rope_scaling", {{"type", "dynamic"}, {"factor", 3}});
  BOOST_CHECK_NO_THROW(ModelFolder(dynamic.path()));
  const Copy gemma("gemma");
  const auto activation = [&](const Json& before, const Json& since) {
    gemma.set("hidden_act", before);
    gemma.set("hidden_activation", since);
    return huggingface::read_config(gemma.path()).keys.at("activation");
  };
  BOOST_TEST(activation("gelu", nullptr) == "geglu");
  BOOST_TEST(activation(nullptr, "gelu") == "geglu");
  BOOST_TEST(activation("gelu", "gelu") == "geglu");
  BOOST_TEST(activation(nullptr, "gelu_pytorch_tanh") == "geglu_tanh");
}

BOOST_AUTO_TEST_CASE(many_names_take_no_quadratic_time) {
  std::string text = "{\"a\": 0";
  for (int i = 0; i < 300'000; ++i) text += fmt::format(", \"tensor.{}\": 0", i);
  const auto begin = std::chrono::steady_clock::now();
  BOOST_TEST(huggingface::parse_object(text + "}", 16).size() == 300'001U);
  BOOST_TEST((std::chrono::steady_clock::now() - begin < std::chrono::seconds(20)));
}

BOOST_AUTO_TEST_CASE(faults_of_folders) {
  const Copy copy("llama");
  copy.write("config.json", "[]");
  TRM_TEST_MENTIONS(copy.error(), "not a JSON object");
  copy.write("config.json", std::string(2'000'000, ' '));
  TRM_TEST_MENTIONS(copy.error(), "too many");
  copy.write("config.json", R"({"model_type": "llama", "model_type": "llama"})");
  TRM_TEST_MENTIONS(copy.error(), "twice");
  fs::copy_file(published_folder("llama") + "/config.json", copy / "config.json",
                fs::copy_options::overwrite_existing);
  const std::string whole = read_file(copy / "model.safetensors", 1'000'000);
  copy.write("model.safetensors", whole.substr(0, 7));
  TRM_TEST_MENTIONS(copy.error(), "less than a header");
  copy.write("model.safetensors", whole.substr(0, whole.size() - 4));
  TRM_TEST_MENTIONS(copy.error(), "not a whole safetensors file");
  fs::rename(copy / "model.safetensors", copy / "a.safetensors");
  TRM_TEST_MENTIONS(copy.error(), "analysis/trireme-torch-to-safetensors");
  copy.write("a.safetensors", whole);
  const auto index = [&](const std::string& map) {
    copy.write("model.safetensors.index.json", "{\"weight_map\": " + map + "}");
    return copy.error();
  };
  TRM_TEST_MENTIONS(index("{}"), "no weight_map");
  TRM_TEST_MENTIONS(index(R"({"x": 1})"), "is no text");
  for (const char* name :
       {"../a.safetensors", "/tmp/a.safetensors", "a.bin", ".safetensors", ""}) {
    TRM_TEST_MENTIONS(index(fmt::format(R"({{"x": "{}"}})", name)), "not the plain name");
  }
  TRM_TEST_MENTIONS(index(R"({"x": "b.safetensors"})"), "cannot open");
  TRM_TEST_MENTIONS(index(R"({"x": "a.safetensors"})"), "the tensor x is not in a.safetensors");
}

BOOST_AUTO_TEST_CASE(faults_of_exports) {
  const TemporaryFolder folder(memory_folder());
  ModelFolder source(published_folder("gpt_neox"));
  const auto error = [&](const Deck& deck, const std::string& type) {
    return error_of([&] {
      (void)huggingface::write_model_folder(source, deck, {},
                                            {.to = folder / "out", .model_type = type});
    });
  };
  TRM_TEST_MENTIONS(error(source.deck(), "t5"), "the model type t5 is not known");
  TRM_TEST_MENTIONS(error(source.deck(), "llama"), "llama: ");
  Deck odd = source.deck();
  odd.model.norm = Norm::rmsnorm;
  TRM_TEST_MENTIONS(error(odd, ""), "no known type of model");
  fs::create_directory(folder / "out");
  TRM_TEST_MENTIONS(error(source.deck(), ""), "something already");
}

BOOST_AUTO_TEST_CASE(a_second_of_damage) {
  std::mt19937 random(7);
  const std::string path = published_folder("llama") + "/model.safetensors";
  const std::string file = read_file(path, 1'000'000);
  const auto length = static_cast<unsigned char>(file[0]) +
                      (std::size_t{static_cast<unsigned char>(file[1])} << 8U);
  const std::string header = file.substr(8, length);
  const std::string config = read_file(published_folder("llama3") + "/config.json", 1'000'000);
  const auto spoil = [&](std::string text) {
    for (unsigned n = random() % 4 + 1; n > 0; --n) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 8 + 1);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 16));
          break;
        default:
          text[at] = "0123456789[]{},:\"-e."[random() % 20];
      }
      if (text.empty()) text = "{";
    }
    return text;
  };
  std::int64_t refused = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (std::chrono::steady_clock::now() < end) {
    try {
      (void)huggingface::parse_header(spoil(header), static_cast<std::int64_t>(file.size()));
    } catch (const Error&) {
      ++refused;
    }
    try {
      const Json object = huggingface::parse_object(spoil(config), 16);
      (void)huggingface::facts_of(object, "config.json");
    } catch (const Error&) {
      ++refused;
    }
  }
  BOOST_TEST(refused > 100);
}
