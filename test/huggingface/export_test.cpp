// SPDX-License-Identifier: Apache-2.0
// What an export does besides the weights: files of a tokenizer, and values that don't fit.
#include "trireme/huggingface/export.hpp"

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include <boost/test/unit_test.hpp>

#include "trireme/core/regular_file.hpp"
#include "trireme/huggingface/model_folder.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

#include "../../src/huggingface/json.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "published.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;
using huggingface::Json;
using huggingface::TokenizerToWrite;

void put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

/// The files of an exported model that are not there without a tokenizer, and their text.
std::map<std::string, std::string> exported(const TokenizerToWrite& tokenizer) {
  const TemporaryFolder folder(memory_folder());
  huggingface::ModelFolder source(published_folder("llama"));
  const auto done = huggingface::write_model_folder(source, source.deck(), tokenizer,
                                                    {.to = folder / "out", .origin = "here"});
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder / "out")) {
    const std::string name = entry.path().filename().string();
    if (name == "config.json" || name == "generation_config.json" || name == "README.md" ||
        name == "model.safetensors") {
      continue;
    }
    files[name] = read_file(entry.path().string(), 1'000'000);
  }
  BOOST_TEST(done.tokenizer == !files.empty());
  return files;
}

constexpr const char* kDefinition =
    R"({"tokenizer": {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1,
        "content": "x", "special": true}]}, "end_of_document": "x"})";

BOOST_AUTO_TEST_CASE(a_kept_definition_is_tokenizer_json) {
  const TemporaryFolder folder(memory_folder());
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer.json", "added_tokens.json"}) {
    put(folder / name, "other");
  }
  const auto files = exported({"hugging-face", kDefinition, folder / "vocab.json"});
  BOOST_TEST(files.size() == 2U);
  const Json written = Json::parse(files.at("tokenizer.json"));
  BOOST_TEST((written["model"]["vocab"] == Json{{"a", 0}}));
  BOOST_TEST((written["added_tokens"][0]["normalized"] == false));
  BOOST_TEST(!written.contains("end_of_document"));
  BOOST_TEST((Json::parse(files.at("tokenizer_config.json"))["eos_token"] == "x"));
}

BOOST_AUTO_TEST_CASE(settings_come_from_a_folder_or_from_beside_tokenizer_json) {
  const TemporaryFolder folder(memory_folder());
  put(folder / "tokenizer.json", "whole");
  put(folder / "tokenizer_config.json", "settings");
  for (const std::string& place : {folder / "tokenizer.json", folder / ""}) {
    const auto kept = exported({"hugging-face", kDefinition, place});
    BOOST_TEST(kept.at("tokenizer.json") != "whole");
    BOOST_TEST(kept.at("tokenizer_config.json") == "settings");
    const auto unknown = exported({"", "", place});
    BOOST_TEST(unknown.at("tokenizer.json") == "whole");
    BOOST_TEST(unknown.at("tokenizer_config.json") == "settings");
  }
}

BOOST_AUTO_TEST_CASE(other_kinds_are_copied_by_their_names_or_left_out) {
  const TemporaryFolder folder(memory_folder());
  for (const char* name : {"pieces.model", "tekken.json", "cl100k.tiktoken", "vocab.json",
                           "tokenizer.json", "tokenizer_config.json"}) {
    put(folder / name, name);
  }
  using Files = std::map<std::string, std::string>;
  const Files pieces = exported({"sentencepiece", "", folder / "pieces.model"});
  BOOST_TEST((pieces == Files{{"tokenizer.model", "pieces.model"}}));
  const Files ranks = exported({"ranks", "", folder / "tekken.json"});
  BOOST_TEST((ranks == Files{{"tekken.json", "tekken.json"}}));
  BOOST_TEST(exported({"ranks", "", folder / "cl100k.tiktoken"}).empty());
  BOOST_TEST(exported({"sentencepiece", "", folder / "none"}).empty());
  BOOST_TEST(exported({"", "", folder / "vocab.json"}).empty());
  BOOST_TEST(exported({}).empty());
}

BOOST_AUTO_TEST_CASE(single_bytes_become_a_published_tokenizer) {
  const auto files = exported({"bytes"});
  BOOST_TEST(files.size() == 2U);
  const TemporaryFolder folder(memory_folder());
  for (const auto& [name, text] : files) put(folder / name, text);
  const auto published = open_tokenizer({.name = folder / "."});
  const ByteTokenizer bytes;
  BOOST_TEST(published->vocab_size() == bytes.vocab_size());
  BOOST_TEST(published->end_of_document() == bytes.end_of_document());
  std::string text = "Two words,  3\n\t\xc3\xa9";
  for (int byte = 0; byte < 128; ++byte) text += static_cast<char>(byte);
  std::vector<std::int32_t> theirs;
  std::vector<std::int32_t> ours;
  published->encode(text, theirs);
  bytes.encode(text, ours);
  BOOST_TEST(theirs == ours, boost::test_tools::per_element());
  BOOST_TEST(published->decode(theirs) == text);
}

/// One tensor of one value.
class OneValue final : public WeightSource {
 public:
  explicit OneValue(float value) : value_(value) {}
  [[nodiscard]] bool has(const std::string& name) const override { return name == "x"; }
  [[nodiscard]] Shape global_shape(const std::string& /*name*/) const override {
    return Shape{1};
  }
  [[nodiscard]] DType dtype(const std::string& /*name*/) const override { return DType::f32; }
  [[nodiscard]] std::vector<std::string> names() const override { return {"x"}; }
  void read(const std::string& /*name*/, const Shape& /*global*/, const Box& /*box*/,
            const View& to) override {
    *static_cast<float*>(to.raw()) = value_;
  }

 private:
  float value_;
};

BOOST_AUTO_TEST_CASE(values_too_large_for_halves_are_refused) {
  const auto read = [](float value, DType type) {
    OneValue source(value);
    std::uint32_t memory = 0;
    read_as(source, "x", Box::whole(Shape{1}), View(&memory, type, Shape{1}));
    return memory;
  };
  for (const float value : {65520.0F, -1e6F}) {
    TRM_TEST_MENTIONS(error_of([&] { read(value, DType::f16); }), "does not fit float16");
    BOOST_TEST(read(value, DType::bf16) != 0U);
  }
  BOOST_TEST(read(65519.0F, DType::f16) == 0x7bffU);  // the largest half
  BOOST_TEST(read(std::numeric_limits<float>::infinity(), DType::f16) == 0x7c00U);
}

}  // namespace
