// SPDX-License-Identifier: Apache-2.0
// A published model as Hugging Face transformers writes it: config.json and safetensors files
// in one folder. A folder of adapters, as PEFT writes it, counts as the model that it names,
// with these adapters. The content of folders is not trusted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme::huggingface {

/// Whether the folder holds a config.json or an adapter_config.json.
[[nodiscard]] bool is_model_folder(const std::string& path);

/// A deck that trains on from the folder's weights, for people to change: the model's keys, and
/// load, finetune and tokenizer. Reads no weights. Throws Error that names the field of
/// config.json that this program can't use.
[[nodiscard]] std::string deck_text(const std::string& folder);

/// The keys of two models that compute different things: "norm (\"rmsnorm\" and
/// \"layernorm\")". How the models are trained does not count.
[[nodiscard]] std::vector<std::string> model_differences(const Deck& deck, const Deck& other);

/// The weights under the names of parameters, and each box of one when it is read.
class ModelFolder final : public WeightSource {
 public:
  /// Reads config.json and the headers of all files. Throws Error if tensors are missing, not
  /// known or of another shape than the config says.
  explicit ModelFolder(const std::string& folder);
  ~ModelFolder() override;

  /// deck_text(), read and resolved for one rank.
  [[nodiscard]] const Deck& deck() const;
  /// The folder of config.json and of the weights, which adapters name.
  [[nodiscard]] const std::string& base() const;
  /// config.json's model_type: "llama".
  [[nodiscard]] std::string model_type() const;

  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override;
  using WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::huggingface
