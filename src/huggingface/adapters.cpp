// SPDX-License-Identifier: Apache-2.0
// The files of exported adapters: PEFT's names for A and B, and its settings.
#include "trireme/huggingface/adapters.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <limits>
#include <set>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/model/trained.hpp"

#include "adapter_folder.hpp"
#include "config.hpp"
#include "mapped_source.hpp"
#include "safetensors_writer.hpp"
#include "tensor_names.hpp"

namespace trireme::huggingface {

namespace {

namespace fs = std::filesystem;

/// "layers.0.attention.dense" for the stored array of this matrix's weight; else empty.
std::string stored_matrix(std::string_view stored) {
  for (const std::string_view before : {"model/", "optimizer/master/"}) {
    if (stored.starts_with(before) && stored.ends_with(kWeight)) {
      stored.remove_prefix(before.size());
      return std::string(stored.substr(0, stored.size() - kWeight.size()));
    }
  }
  return {};
}

/// "attention.dense" of "gpt_neox.layers.0.attention.dense".
std::string in_layer(const std::string& module) {
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  const auto digit = std::ranges::find_if(module, is_digit);
  const auto dot = std::find(digit, module.end(), '.');
  return dot == module.end() ? module : std::string(dot + 1, module.end());
}

struct AdapterTensors {
  std::map<std::string, TensorMap> tensors;
  std::set<std::string> targets;
  bool transposed = false;  ///< the published matrices are [in, out]
};

/// Adds A and B of the published matrix `name`, which is made as `map` says.
void add(AdapterTensors& to, const WeightSource& source, const std::string& name,
         const TensorMap& map) {
  const std::string matrix = stored_matrix(map.runs.front().tensor);
  if (!source.has(fmt::format("model/{}{}", matrix, kLoraA))) return;
  const std::string a = most_precise(source, fmt::format("{}{}", matrix, kLoraA));
  const std::string b = most_precise(source, fmt::format("{}{}", matrix, kLoraB));
  const Shape shape_a = source.global_shape(a);
  TensorMap rows_of_b{.shape = Shape{map.shape[map.transposed_here ? 1 : 0], shape_a[0]}};
  for (RowRun run : map.runs) {
    TRM_REQUIRE(stored_matrix(run.tensor) == matrix,
                "{} is made of several matrices with adapters, and can't have one of its own: "
                "merge the adapters (leave --adapters out)",
                name);
    run.tensor = b;
    rows_of_b.runs.push_back(run);
  }
  const std::string module = name.substr(0, name.size() - kWeight.size());
  const std::string before = fmt::format("{}{}", kAdapterPrefix, module);
  to.tensors[fmt::format("{}{}", before, kLoraA)] = {
      .shape = shape_a, .runs = {{.tensor = a, .count = shape_a[0]}}};
  to.tensors[fmt::format("{}{}", before, kLoraB)] = std::move(rows_of_b);
  to.targets.insert(in_layer(module));
  to.transposed = to.transposed || map.transposed_here;
}

/// What a run began with; other adapters that it began with stand beside a model, too.
std::string name_of_base(const std::string& loaded) {
  if (!is_adapter_folder(loaded)) return loaded;
  std::string base = loaded;
  static_cast<void>(failure_of([&] { base = base_of(loaded); }));  // it may be gone
  return base;
}

OrderedJson settings(const Deck& deck, const AdapterTensors& adapters) {
  const LoraConfig& lora = deck.model.lora;
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", name_of_base(deck.load)},
          {"inference_mode", true},
          {"r", lora.rank},
          {"lora_alpha", lora.alpha},
          {"lora_dropout", lora.dropout},
          {"use_rslora", lora.use_rslora},
          {"target_modules", adapters.targets},
          {"fan_in_fan_out", adapters.transposed},
          {"bias", "none"},
          {"modules_to_save", nullptr},
          {"init_lora_weights", true}};
}

}  // namespace

ExportedAdapters write_adapter_folder(WeightSource& source, const Deck& deck,
                                      const ExportOptions& options) {
  std::error_code code;
  TRM_REQUIRE(deck.model.lora.enabled(),
              "--adapters: this model has none; leave --adapters out to convert its weights");
  TRM_REQUIRE(deck.model.train_only.empty(),
              "--adapters: the deck's train_only let other parameters train, which adapter "
              "files don't hold; leave --adapters out to convert all weights");
  TRM_REQUIRE(!fs::exists(options.to, code),
              "{}: there is something already; name a folder that doesn't exist", options.to);
  Deck plain = deck;
  plain.model.lora = {};
  const Written written = write_config(plain, options.model_type);
  AdapterTensors adapters;
  for (const auto& [name, map] : tensors_from(*written.family, plain.model, source)) {
    add(adapters, source, name, map);
  }
  const fs::path temporary = temporary_name(options.to, process_mark());
  try {
    fs::create_directories(temporary, code);
    TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot create the folder", temporary.string());
    MappedSource tensors(source, adapters.tensors);
    write_files(temporary.string(), {.source = tensors,
                                     .type = options.type.value_or(DType::f32),
                                     .most_bytes = std::numeric_limits<std::int64_t>::max(),
                                     .progress = options.progress});
    rename_path((temporary / "model.safetensors").string(),
                (temporary / kAdapterWeights).string());
    replace_text((temporary / kAdapterConfig).string(), settings(deck, adapters).dump(2) + "\n",
                 Durability::power);
    sync_to_disk(temporary.string());
    rename_path(temporary.string(), options.to);
  } catch (...) {
    fs::remove_all(temporary, code);
    throw;
  }
  return {.model_type = std::string(written.family->model_type),
          .matrices = static_cast<std::int64_t>(adapters.tensors.size() / 2)};
}

}  // namespace trireme::huggingface
