// SPDX-License-Identifier: Apache-2.0
// Reads adapters, whose rows follow those of the matrices that they stand beside.
#include "adapter_folder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/model/trained.hpp"

#include "json.hpp"
#include "tensor_names.hpp"
#include "weight_files.hpp"

namespace trireme::huggingface {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostBytes = 10'000'000;
constexpr std::string_view kModel = "model/";

/// Fields that change nothing here: what the adapters were made for, or how they began.
bool is_idle(const std::string& field) {
  static const std::set<std::string> kIdle{
      "task_type",      "inference_mode",    "revision",           "auto_mapping",
      "peft_version",   "target_modules",    "exclude_modules",    "layers_to_transform",
      "layers_pattern", "fan_in_fan_out",    "loftq_config",       "megatron_core",
      "runtime_config", "qalora_group_size", "ensure_weight_tying"};
  return kIdle.contains(field);
}

bool is_nothing(const Json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

/// Whether base weights are those of the published model: some ways to begin change them.
bool leaves_base(const Json& beginning) {
  return beginning.is_boolean() || beginning == "gaussian" || beginning == "orthogonal" ||
         beginning == "eva";
}

/// The folder that `base_model_name_or_path` names, from here or from beside the adapters.
std::string find_base(const std::string& folder, const std::string& name) {
  for (const std::string& path :
       {name, (fs::path(folder) / name).lexically_normal().string()}) {
    if (!name.empty() && exists(path + "/config.json") && !is_adapter_folder(path)) return path;
  }
  throw Error(
      fmt::format("{}/{}: base_model_name_or_path is \"{}\", but no folder with config.json is "
                  "there; write the path of the published model's folder into the field",
                  folder, kAdapterConfig, shortened(name, 200)));
}

/// The name of the B that belongs to an A, and the other way round.
std::string b_of(const std::string& a) {
  return fmt::format("{}{}", a.substr(0, a.size() - kLoraA.size()), kLoraB);
}
std::string a_of(const std::string& b) {
  return fmt::format("{}{}", b.substr(0, b.size() - kLoraB.size()), kLoraA);
}

bool is_a(const std::string& name) { return name.ends_with(kLoraA); }

/// "layers.0.attention.dense" of "model/layers.0.attention.dense.lora_A.weight".
std::string matrix_of(const std::string& name) {
  if (!name.starts_with(kModel) || (!is_a(name) && !name.ends_with(kLoraB))) return {};
  return name.substr(kModel.size(), name.size() - kModel.size() - kLoraA.size());
}

template <class T>
T value_of(const Json& config, const char* field, const T& usual, const std::string& path) {
  const auto at = config.find(field);
  if (at == config.end() || at->is_null()) return usual;
  const bool fits = std::is_same_v<T, std::string> ? at->is_string()
                    : std::is_same_v<T, bool>      ? at->is_boolean()
                    : std::is_integral_v<T>        ? at->is_number_integer()
                                                   : at->is_number();
  TRM_REQUIRE(fits, "{}: {} is {}, which is of another kind than expected", path, field,
              brief(*at));
  return at->get<T>();
}

}  // namespace

bool is_adapter_folder(const std::string& path) { return exists(path + "/" + kAdapterConfig); }

AdapterFacts read_adapter_config(const std::string& folder) {
  const std::string path = fmt::format("{}/{}", folder, kAdapterConfig);
  const Json config = read_object(path, kMostBytes);
  AdapterFacts facts{.folder = folder};
  for (const auto& [field, value] : config.items()) {
    if (field == "peft_type") {
      TRM_REQUIRE(value == "LORA", "{}: peft_type is {}; only LORA can be used", path,
                  brief(value));
    } else if (field == "bias") {
      TRM_REQUIRE(value == "none", "{}: bias is {}; only none can be used", path, brief(value));
    } else if (field == "init_lora_weights") {
      TRM_REQUIRE(leaves_base(value),
                  "{}: init_lora_weights is {}, which changes the published weights; convert "
                  "the adapters to plain ones with PEFT",
                  path, brief(value));
    } else if (field != "base_model_name_or_path" && field != "r" && field != "lora_alpha" &&
               field != "lora_dropout" && field != "use_rslora" && !is_idle(field)) {
      TRM_REQUIRE(is_nothing(value),
                  "{}: {} is {}, which could change the result and can't be used here", path,
                  shortened(field, 60), brief(value));
    }
  }
  facts.rank = value_of(config, "r", std::int64_t{8}, path);
  facts.alpha = value_of(config, "lora_alpha", 8.0, path);
  facts.dropout = value_of(config, "lora_dropout", 0.0, path);
  facts.use_rslora = value_of(config, "use_rslora", false, path);
  TRM_REQUIRE(facts.rank >= 1 && facts.rank <= 1'000'000 && std::isfinite(facts.alpha) &&
                  facts.alpha > 0 && facts.dropout >= 0 && facts.dropout < 1,
              "{}: r {}, lora_alpha {} and lora_dropout {} don't make adapters", path,
              facts.rank, facts.alpha, facts.dropout);
  facts.base =
      find_base(folder, value_of(config, "base_model_name_or_path", std::string(), path));
  return facts;
}

std::string base_of(const std::string& folder) {
  return is_adapter_folder(folder) ? read_adapter_config(folder).base : folder;
}

AdapterWeights::AdapterWeights(const AdapterFacts& facts, const Family& family,
                               const ModelConfig& model)
    : facts_(facts), base_(family.base), files_(facts.folder, kAdapterWeights) {
  ModelConfig plain = model;
  plain.lora = {};
  for (const auto& [parameter, map] : parameters_from(family, plain)) {
    if (map.shape.rank() == 2 && parameter.starts_with("model/layers.")) add(parameter, map);
  }
  TRM_REQUIRE(rank_ > 0, "{}: no adapter belongs to a matrix of the layers of {}",
              facts_.folder, facts_.base);
  // A matrix without an adapter in some layers, where other layers have one.
  const LoraConfig chosen = lora();
  for (const auto& [parameter, map] : parameters_from(family, plain)) {
    if (map.shape.rank() != 2 || !parameter.starts_with("model/layers.")) continue;
    const std::string matrix =
        parameter.substr(kModel.size(), parameter.size() - kModel.size() - kWeight.size());
    if (!has_adapter(chosen, matrix)) continue;
    adapters_.try_emplace(matrix, Adapter{.matrix = map.shape});
  }
  require_all_used();
}

std::string AdapterWeights::find_a(const std::string& tensor) const {
  const std::string module = tensor.substr(0, tensor.size() - kWeight.size());
  std::string name = fmt::format("{}{}{}", kAdapterPrefix, module, kLoraA);
  if (files_.has(name)) return name;
  if (!module.starts_with(base_)) return {};
  name = fmt::format("{}{}{}", kAdapterPrefix, module.substr(base_.size()), kLoraA);
  return files_.has(name) ? name : std::string();
}

void AdapterWeights::require_shape(const std::string& name, const Shape& shape) const {
  TRM_REQUIRE(files_.has(name), "{}: there is no tensor {}", facts_.folder, name);
  TRM_REQUIRE(files_.global_shape(name) == shape,
              "{}: the tensor {} is {}, not {} as rank and model say", facts_.folder, name,
              files_.global_shape(name).str(), shape.str());
  static_cast<void>(files_.dtype(name));  // throws for a type that can't be read
}

bool AdapterWeights::equal(const std::string& a, const std::string& b) {
  const Shape shape = files_.global_shape(a);
  const Box all(Shape{0, 0}, shape);
  std::vector<float> one(static_cast<std::size_t>(shape.count()));
  std::vector<float> two(one.size());
  read_as(files_, a, all, View(one.data(), DType::f32, shape));
  read_as(files_, b, all, View(two.data(), DType::f32, shape));
  return one == two;
}

void AdapterWeights::add(const std::string& parameter, const TensorMap& map) {
  Adapter adapter{.matrix = map.shape};
  std::map<std::string, std::int64_t> columns;  // where the B of a published tensor begins
  std::map<std::string, std::int64_t> rows;     // published tensors have so many
  for (const RowRun& run : map.runs) {
    rows[run.tensor] =
        std::max(rows[run.tensor], run.there + (run.count - 1) * run.step_there + 1);
  }
  for (const auto& [tensor, count] : rows) {
    const std::string a = find_a(tensor);
    if (a.empty()) continue;
    require_shape(a, {facts_.rank, map.shape[1]});
    require_shape(b_of(a), {count, facts_.rank});
    const auto same =
        std::ranges::find_if(adapter.parts, [&](const Part& part) { return equal(part.a, a); });
    if (same == adapter.parts.end()) {
      const auto at = static_cast<std::int64_t>(adapter.parts.size()) * facts_.rank;
      adapter.parts.push_back({a, at});
      columns[tensor] = at;
    } else {
      columns[tensor] = same->at;
    }
  }
  if (adapter.parts.empty()) return;
  for (RowRun run : map.runs) {
    const auto at = columns.find(run.tensor);
    if (at == columns.end()) continue;
    run.tensor = b_of(find_a(run.tensor));
    adapter.rows.emplace_back(run, at->second);
  }
  rank_ = std::max(rank_, static_cast<std::int64_t>(adapter.parts.size()) * facts_.rank);
  adapters_.emplace(
      parameter.substr(kModel.size(), parameter.size() - kModel.size() - kWeight.size()),
      std::move(adapter));
}

void AdapterWeights::require_all_used() const {
  std::set<std::string> used;
  for (const auto& [matrix, adapter] : adapters_) {
    for (const auto& [run, column] : adapter.rows) {
      used.insert(run.tensor);
      used.insert(a_of(run.tensor));
    }
  }
  for (const std::string& name : files_.names()) {
    TRM_REQUIRE(used.contains(name),
                "{}: the tensor {} is no adapter of a matrix in the layers of {}",
                facts_.folder, shortened(name, 200), facts_.base);
  }
}

LoraConfig AdapterWeights::lora() const {
  const auto wider = static_cast<double>(rank_) / static_cast<double>(facts_.rank);
  LoraConfig lora{.rank = rank_,
                  .alpha = facts_.alpha * (facts_.use_rslora ? std::sqrt(wider) : wider),
                  .dropout = facts_.dropout,
                  .targets = {},
                  .use_rslora = facts_.use_rslora};
  std::set<std::string> targets;
  for (const auto& [matrix, adapter] : adapters_) {
    const std::size_t dot = matrix.find('.', std::string_view("layers.").size());
    targets.insert(matrix.substr(dot + 1));
  }
  lora.targets.assign(targets.begin(), targets.end());
  return lora;
}

bool AdapterWeights::has(const std::string& name) const {
  return adapters_.contains(matrix_of(name));
}

Shape AdapterWeights::global_shape(const std::string& name) const {
  const auto at = adapters_.find(matrix_of(name));
  TRM_REQUIRE(at != adapters_.end(), "{}: there is no adapter {}", facts_.folder, name);
  const Shape& matrix = at->second.matrix;
  return is_a(name) ? Shape{rank_, matrix[1]} : Shape{matrix[0], rank_};
}

DType AdapterWeights::dtype(const std::string& /*name*/) const { return DType::f32; }

std::vector<std::string> AdapterWeights::names() const {
  std::vector<std::string> names;
  for (const auto& [matrix, adapter] : adapters_) {
    names.push_back(fmt::format("{}{}{}", kModel, matrix, kLoraA));
    names.push_back(fmt::format("{}{}{}", kModel, matrix, kLoraB));
  }
  return names;
}

void AdapterWeights::read(const std::string& name, const Shape& global, const Box& box,
                          const View& to) {
  TRM_REQUIRE(global == global_shape(name), "the tensor {} has shape {}, this run needs {}",
              name, global_shape(name).str(), global.str());
  TRM_CHECK(box.inside(global) && to.contiguous() && to.count() == box.count() &&
                to.dtype() == DType::f32,
            "{}: {} {} to be filled with {}", name, name_of(to.dtype()), to.shape().str(),
            box.extent.str());
  std::fill_n(to.data<float>(), to.count(), 0.0F);
  const Adapter& adapter = adapters_.at(matrix_of(name));
  is_a(name) ? fill_a(adapter, box, to.data<float>()) : fill_b(adapter, box, to.data<float>());
}

void AdapterWeights::fill_a(const Adapter& adapter, const Box& box, float* to) {
  const std::int64_t columns = box.extent[1];
  for (const Part& part : adapter.parts) {
    const std::int64_t begin = std::max(box.offset[0], part.at);
    const std::int64_t end = std::min(box.offset[0] + box.extent[0], part.at + facts_.rank);
    if (begin >= end) continue;
    const Box from(Shape{begin - part.at, box.offset[1]}, Shape{end - begin, columns});
    read_as(files_, part.a, from,
            View(to + (begin - box.offset[0]) * columns, DType::f32, from.extent));
  }
}

void AdapterWeights::fill_b(const Adapter& adapter, const Box& box, float* to) {
  for (const auto& [run, column] : adapter.rows) {
    const std::int64_t begin = std::max(box.offset[1], column);
    const std::int64_t end = std::min(box.offset[1] + box.extent[1], column + facts_.rank);
    if (begin >= end) continue;
    for (std::int64_t i = 0; i < run.count; ++i) {
      const std::int64_t row = run.here + i * run.step_here - box.offset[0];
      if (row < 0 || row >= box.extent[0]) continue;
      const Box from(Shape{run.there + i * run.step_there, begin - column},
                     Shape{1, end - begin});
      float* const place = to + row * box.extent[1] + begin - box.offset[1];
      read_as(files_, run.tensor, from, View(place, DType::f32, from.extent));
    }
  }
}

}  // namespace trireme::huggingface
