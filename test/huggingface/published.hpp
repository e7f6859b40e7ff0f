// SPDX-License-Identifier: Apache-2.0
// The small published models beside test/support/golden/make_hugging_face.py.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "trireme/data/samples.hpp"

#include "../../src/huggingface/weight_files.hpp"

namespace trireme::test {

inline constexpr const char* kPublished[] = {
    "gpt_neox",     "gpt_neox_sequential", "gpt2",          "gptj",   "phi",        "llama",
    "llama_biases", "llama_linear",        "llama_dynamic", "llama3", "llama_yarn", "mistral",
    "qwen2",        "qwen2_window",        "qwen3",         "olmo2",  "gemma",      "gemma2",
    "gemma3_text"};

/// The same with adapters, by make_peft.py.
inline constexpr const char* kAdapted[] = {"peft_gpt_neox", "peft_gpt2", "peft_gptj",
                                           "peft_llama"};

inline constexpr std::int64_t kBatch = 2;
inline constexpr std::int64_t kSequence = 12;

inline std::string published_folder(const std::string& name) {
  const char* moved = std::getenv("TRIREME_TEST_DIR");
  const std::string test = moved != nullptr ? moved : TRIREME_TEST_DIR;
  return test + "/support/golden/huggingface/" + name;
}

/// All elements of a tensor in fp32.
inline std::vector<float> floats_of(WeightSource& source, const std::string& name) {
  const Shape shape = source.global_shape(name);
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  read_as(source, name, Box::whole(shape), View(values.data(), DType::f32, shape));
  return values;
}

/// What transformers computed.
struct Reference {
  explicit Reference(const std::string& name) {
    huggingface::WeightFiles files(published_folder(name) + "/reference");
    logits = floats_of(files, "logits");
    loss = static_cast<double>(floats_of(files, "loss").front());
  }
  std::vector<float> logits;  ///< [kBatch · kSequence, vocabulary]
  double loss = 0;
};

inline std::int32_t published_token(std::int64_t sequence, std::int64_t i,
                                    std::int64_t vocabulary) {
  return static_cast<std::int32_t>((7 * sequence + 5 * i * i + 3 * i) % vocabulary);
}

/// The sequences that the references were computed from.
class PublishedTokens final : public SampleSource {
 public:
  explicit PublishedTokens(std::int64_t vocabulary)
      : SampleSource(kSequence), vocabulary_(vocabulary) {}
  [[nodiscard]] std::int64_t vocab_size() const override { return vocabulary_; }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] = published_token(static_cast<std::int64_t>(k) % kBatch,
                              static_cast<std::int64_t>(i), vocabulary_);
    }
  }

 private:
  std::int64_t vocabulary_;
};

}  // namespace trireme::test
