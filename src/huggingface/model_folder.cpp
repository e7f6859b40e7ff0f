// SPDX-License-Identifier: Apache-2.0
// Holds config.json against the tensors of the files, and reads these.
#include "trireme/huggingface/model_folder.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/ranges.h>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "adapter_folder.hpp"
#include "config.hpp"
#include "deck_text.hpp"
#include "mapped_source.hpp"
#include "tensor_names.hpp"
#include "weight_files.hpp"

namespace trireme::huggingface {

namespace {

using Maps = std::map<std::string, TensorMap>;
constexpr std::size_t kMostListed = 8;

std::string listed(std::vector<std::string> names) {
  const std::size_t all = names.size();
  if (all <= kMostListed) return fmt::format("{}", fmt::join(names, ", "));
  names.resize(kMostListed);
  return fmt::format("{} and {} more", fmt::join(names, ", "), all - kMostListed);
}

/// Files of the model without its head lack the names' first word. Returns whether these do.
bool drop_base(const Family& family, const WeightFiles& files, Maps& maps) {
  const std::string& embedding = maps.at("model/embed_in.weight").runs.front().tensor;
  const std::string bare = embedding.substr(family.base.size());
  if (files.has(embedding) || !files.has(bare)) return false;
  for (auto& [name, map] : maps) {
    for (RowRun& run : map.runs) {
      if (run.tensor.starts_with(family.base)) run.tensor.erase(0, family.base.size());
    }
  }
  return true;
}

/// An encoder without its head serves classifiers. A part of the head alone is a damage.
void drop_head(const WeightFiles& files, Maps& maps) {
  const auto of_head = [](const auto& entry) {
    return entry.first.starts_with("model/output_transform.") ||
           entry.first == "model/embed_out.bias";
  };
  const auto is_there = [&](const RowRun& run) { return files.has(run.tensor); };
  const bool any = std::ranges::any_of(maps, [&](const auto& entry) {
    return of_head(entry) && std::ranges::any_of(entry.second.runs, is_there);
  });
  if (!any) std::erase_if(maps, of_head);
}

/// The pooler's tensors, where the files hold them beside the model.
Maps pooler_of(const Family& family, const ModelConfig& model, const WeightFiles& files) {
  Maps maps;
  if (family.pooler.empty()) return maps;
  const std::int64_t h = model.hidden_size;
  for (const auto& [end, shape] : {std::pair{".weight", Shape{h, h}}, {".bias", Shape{h}}}) {
    std::string tensor = fmt::format("{}{}", family.pooler, end);
    if (!files.has(tensor)) tensor.erase(0, family.base.size());
    if (!files.has(tensor)) return {};
    const Shape found = files.global_shape(tensor);
    TRM_REQUIRE(found == shape, "{}: {} has {} instead of {}", files.folder(), tensor,
                found.str(), shape.str());
    maps[fmt::format("model/pooler.dense{}", end)] = {.shape = shape,
                                                      .runs = {{.tensor = tensor, .count = h}}};
  }
  return maps;
}

/// Norms of BERT's first files have other words for weight and bias.
void take_older_names(const WeightFiles& files, Maps& maps) {
  constexpr std::pair<std::string_view, std::string_view> kOlderEnds[] = {{".weight", ".gamma"},
                                                                          {".bias", ".beta"}};
  for (auto& [name, map] : maps) {
    for (RowRun& run : map.runs) {
      for (const auto& [now, then] : kOlderEnds) {
        if (files.has(run.tensor) || !run.tensor.ends_with(now)) continue;
        const std::string older =
            run.tensor.substr(0, run.tensor.size() - now.size()).append(then);
        if (files.has(older)) run.tensor = older;
      }
    }
  }
}

/// Tensors that a file may hold beside the weights: buffers, and the output of a tied model.
bool may_stay(const Family& family, const Deck& deck, const std::string& name) {
  const auto ends = [&](std::string_view end) {
    const bool based = end.starts_with(family.base);
    return name.ends_with(end) || (based && name == end.substr(family.base.size()));
  };
  if (std::ranges::any_of(family.buffers, ends)) return true;
  if (deck.model.no_weight_tying) return false;
  const auto output = std::ranges::find(family.ends, "embed_out", &TensorRule::here);
  return output != family.ends.end() && name == fmt::format("{}.weight", output->there);
}

/// The size of all weight files in the folder.
std::int64_t bytes_of_weights(const std::string& folder) {
  std::int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::error_code code;
    const std::uintmax_t size = entry.file_size(code);
    if (code || entry.path().extension() != ".safetensors") continue;
    bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

/// Throws Error for sizes far beyond the files, of which a list of tensors would fill memory.
void require_sizes(const ModelConfig& model, const WeightFiles& files) {
  const auto tensors = static_cast<std::int64_t>(files.names().size());
  TRM_REQUIRE(model.num_layers <= tensors,
              "{}/config.json: num_hidden_layers (n_layer) is {}, but the weight files have {} "
              "tensors in all",
              files.folder(), model.num_layers, tensors);
  const std::int64_t bytes = bytes_of_weights(files.folder());
  const double queries =
      static_cast<double>(model.num_layers) * static_cast<double>(model.num_attention_heads) *
      static_cast<double>(model.head_dim()) * static_cast<double>(model.hidden_size);
  TRM_REQUIRE(queries <= static_cast<double>(bytes),
              "{}/config.json: the sizes don't fit the {} bytes of the weight files: {} layers "
              "of {} heads, each of {} × {}",
              files.folder(), bytes, model.num_layers, model.num_attention_heads,
              model.head_dim(), model.hidden_size);
}

/// Throws Error unless the files hold the tensors of the config, and no others.
void require_tensors(const Family& family, const Deck& deck, const WeightFiles& files,
                     const Maps& maps) {
  std::vector<std::string> missing;
  std::vector<std::string> shapes;
  const Maps expected = inverse(maps);
  for (const auto& [name, map] : expected) {
    if (!files.has(name)) {
      missing.push_back(name);
      continue;
    }
    const Shape shape = files.global_shape(name);
    static_cast<void>(files.dtype(name));  // throws for a type that can't be read
    if (shape != map.shape) {
      shapes.push_back(fmt::format("{} {} instead of {}", name, shape.str(), map.shape.str()));
    }
  }
  std::vector<std::string> unknown;
  for (const std::string& name : files.names()) {
    if (!expected.contains(name) && !may_stay(family, deck, name)) unknown.push_back(name);
  }
  std::vector<std::string> faults;
  if (!missing.empty()) faults.push_back(fmt::format("missing: {}", listed(missing)));
  if (!shapes.empty()) faults.push_back(fmt::format("wrong in shape: {}", listed(shapes)));
  if (!unknown.empty()) faults.push_back(fmt::format("unknown: {}", listed(unknown)));
  TRM_REQUIRE(faults.empty(),
              "{}: the tensors are not those of the {} model in config.json; {}",
              files.folder(), family.model_type, fmt::join(faults, "; "));
}

}  // namespace

struct ModelFolder::Impl {
  explicit Impl(const std::string& folder)
      : base(base_of(folder)), facts(read_config(base)), deck(deck_of(facts)), files(base) {
    require_sizes(deck.model, files);
    Maps maps = parameters_from(*facts.family, deck.model);
    if (drop_base(*facts.family, files, maps)) drop_head(files, maps);
    take_older_names(files, maps);
    require_tensors(*facts.family, deck, files, maps);
    weights = std::make_unique<MappedSource>(files, std::move(maps));
    pooler = std::make_unique<MappedSource>(files, pooler_of(*facts.family, deck.model, files));
    if (base != folder) {
      adapters = std::make_unique<AdapterWeights>(read_adapter_config(folder), *facts.family,
                                                  deck.model);
    }
    deck = parse_deck(deck_text(folder), fmt::format("the deck of {}", folder));
    resolve(deck, 1);
  }

  /// Where a tensor is read: the model's weights, its pooler, or the adapters.
  [[nodiscard]] WeightSource& source(const std::string& name) const {
    if (adapters != nullptr && adapters->has(name)) return *adapters;
    if (pooler->has(name)) return *pooler;
    return *weights;
  }

  std::string base;
  ModelFacts facts;
  Deck deck;
  WeightFiles files;
  std::unique_ptr<MappedSource> weights;
  std::unique_ptr<MappedSource> pooler;  ///< may hold no tensor; names() has no part of it
  std::unique_ptr<AdapterWeights> adapters;
};

ModelFolder::ModelFolder(const std::string& folder) : impl_(std::make_unique<Impl>(folder)) {}
ModelFolder::~ModelFolder() = default;

const Deck& ModelFolder::deck() const { return impl_->deck; }
const std::string& ModelFolder::base() const { return impl_->base; }
std::string ModelFolder::model_type() const {
  return std::string(impl_->facts.family->model_type);
}
bool ModelFolder::has(const std::string& name) const { return impl_->source(name).has(name); }
Shape ModelFolder::global_shape(const std::string& name) const {
  return impl_->source(name).global_shape(name);
}
DType ModelFolder::dtype(const std::string& name) const {
  return impl_->source(name).dtype(name);
}
std::vector<std::string> ModelFolder::names() const {
  std::vector<std::string> names = impl_->weights->names();
  if (impl_->adapters == nullptr) return names;
  for (std::string& name : impl_->adapters->names()) names.push_back(std::move(name));
  std::ranges::sort(names);
  return names;
}
void ModelFolder::read(const std::string& name, const Shape& global, const Box& box,
                       const View& to) {
  impl_->source(name).read(name, global, box, to);
}

}  // namespace trireme::huggingface
