// SPDX-License-Identifier: Apache-2.0
// A folder of adapters as PEFT writes it: adapter_config.json and adapter_model.safetensors.
// Its adapters stand beside the matrices of a published model, which the folder names.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/model/config.hpp"

#include "families/family.hpp"
#include "mapped_source.hpp"
#include "weight_files.hpp"

namespace trireme::huggingface {

// Names that PEFT gives.
inline constexpr const char* kAdapterConfig = "adapter_config.json";
inline constexpr const char* kAdapterWeights = "adapter_model.safetensors";
inline constexpr std::string_view kAdapterPrefix = "base_model.model.";

/// Whether the folder holds an adapter_config.json.
[[nodiscard]] bool is_adapter_folder(const std::string& path);

/// What adapter_config.json says.
struct AdapterFacts {
  std::string folder;
  std::string base{};  ///< the folder of the published model
  std::int64_t rank = 0;
  double alpha = 0;
  double dropout = 0;
  bool use_rslora = false;
};
/// The folder itself, or the folder of the published model that adapters belong to.
[[nodiscard]] std::string base_of(const std::string& folder);
/// Throws Error for a kind of adapter or a field that this program can't use, and unless the
/// published model's folder can be found.
[[nodiscard]] AdapterFacts read_adapter_config(const std::string& folder);

/// A and B of every matrix, under the names of parameters. A matrix here may be several there,
/// such as queries, keys and values. It takes all their adapters side by side, and the widest
/// matrix decides the rank of all. What no adapter fills is zero.
class AdapterWeights final : public WeightSource {
 public:
  /// `model` is the published model's. Throws Error if a tensor is missing, not known, or of
  /// another shape than model and rank say.
  AdapterWeights(const AdapterFacts& facts, const Family& family, const ModelConfig& model);

  /// The deck's settings that give these adapters their effect.
  [[nodiscard]] LoraConfig lora() const;

  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override;
  using WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

 private:
  /// An A of the files, and where its rows stand among those of a matrix.
  struct Part {
    std::string a;
    std::int64_t at = 0;
  };
  /// The adapter of a matrix here.
  struct Adapter {
    Shape matrix;
    std::vector<Part> parts{};
    std::vector<std::pair<RowRun, std::int64_t>>
        rows{};  ///< in a B, and their first column here
  };
  void add(const std::string& parameter, const TensorMap& map);
  /// The name of the published tensor's A, or else empty.
  [[nodiscard]] std::string find_a(const std::string& tensor) const;
  [[nodiscard]] bool equal(const std::string& a, const std::string& b);
  void require_shape(const std::string& name, const Shape& shape) const;
  void require_all_used() const;
  void fill_a(const Adapter& adapter, const Box& box, float* to);
  void fill_b(const Adapter& adapter, const Box& box, float* to);

  AdapterFacts facts_;
  std::string base_;  ///< first word of names in the whole model: "model."
  WeightFiles files_;
  std::int64_t rank_ = 0;
  std::map<std::string, Adapter> adapters_;  ///< the key is the matrix's name
};

}  // namespace trireme::huggingface
