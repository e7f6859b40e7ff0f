// SPDX-License-Identifier: Apache-2.0
// Names and rows of tensors by a family's rules.
#include "tensor_names.hpp"

#include <algorithm>
#include <optional>

#include "trireme/core/error.hpp"
#include "trireme/model/transformer.hpp"

namespace trireme::huggingface {

namespace {

constexpr std::string_view kModel = "model/";
constexpr std::string_view kLayers = "layers.";
constexpr std::string_view kFirstLayer = "layers.0.";

/// "layers.7.attention.dense.weight" in its words.
struct ParameterName {
  std::string layer;  ///< "7."; empty outside of layers
  std::string part;   ///< "attention.dense"
  std::string kind;   ///< ".weight"
};

ParameterName words_of(const std::string& name) {
  ParameterName words;
  std::string rest = name;
  if (rest.starts_with(kLayers)) {
    const std::size_t dot = rest.find('.', kLayers.size());
    words.layer = rest.substr(kLayers.size(), dot + 1 - kLayers.size());
    rest = rest.substr(dot + 1);
  }
  const std::size_t dot = rest.rfind('.');
  words.part = rest.substr(0, dot);
  words.kind = rest.substr(dot);
  return words;
}

/// The tensor's name for one of q, k and v.
std::string letter_name(const std::string& pattern, Layout layout, char letter) {
  std::string word(1, letter);
  if (layout == Layout::words) word = letter == 'q' ? "query" : letter == 'k' ? "key" : "value";
  const std::size_t at = pattern.find("{}");
  return pattern.substr(0, at) + word + pattern.substr(at + 2);
}

/// Lists the runs of a fused matrix of queries, keys and values. Here each kv head has its
/// query heads, its key and its value.
class QkvRuns {
 public:
  QkvRuns(const ModelConfig& m, std::string pattern, Layout layout)
      : pattern_(std::move(pattern)),
        layout_(layout),
        width_(m.head_dim()),
        rotary_(layout == Layout::interleaved ? m.rotary_dims() : 0),
        heads_(m.num_attention_heads),
        kv_heads_(m.num_kv_heads) {}

  [[nodiscard]] std::vector<RowRun> list() {
    const std::int64_t queries = heads_ / kv_heads_;
    for (std::int64_t h = 0; h < kv_heads_; ++h) {
      const std::int64_t here = h * (queries + 2) * width_;
      if (rotary_ == 0) {
        add('q', here, h * queries * width_, queries * width_);
      } else {
        for (std::int64_t q = 0; q < queries; ++q) {
          add_pairs('q', here + q * width_, (h * queries + q) * width_);
        }
      }
      const std::int64_t key = here + queries * width_;
      if (rotary_ == 0) {
        add('k', key, h * width_, width_);
      } else {
        add_pairs('k', key, h * width_);
      }
      add('v', key + width_, h * width_, width_);
    }
    return std::move(runs_);
  }

 private:
  void add(char letter, std::int64_t here, std::int64_t there, std::int64_t count,
           std::int64_t step_there = 1) {
    std::string tensor = pattern_;
    if (layout_ != Layout::concatenated) {
      tensor = letter_name(pattern_, layout_, letter);
    } else if (letter != 'q') {
      there += (letter == 'k' ? heads_ : heads_ + kv_heads_) * width_;
    }
    runs_.push_back({.tensor = std::move(tensor),
                     .count = count,
                     .here = here,
                     .there = there,
                     .step_there = step_there});
  }
  /// A head whose rotary pairs are neighbours there: entries 2i and 2i + 1 are i and i + half.
  void add_pairs(char letter, std::int64_t here, std::int64_t there) {
    const std::int64_t half = rotary_ / 2;
    add(letter, here, there, half, 2);
    add(letter, here + half, there + 1, half, 2);
    if (rotary_ < width_) add(letter, here + rotary_, there + rotary_, width_ - rotary_);
  }

  std::string pattern_;
  Layout layout_;
  std::int64_t width_;
  std::int64_t rotary_;
  std::int64_t heads_;
  std::int64_t kv_heads_;
  std::vector<RowRun> runs_;
};

TensorMap map_of(const Family& family, const ModelConfig& model, const NamedShape& parameter) {
  const ParameterName words = words_of(parameter.name);
  const std::vector<TensorRule>& rules = words.layer.empty() ? family.ends : family.layer;
  auto rule = std::ranges::find(rules, words.part + words.kind, &TensorRule::here);
  const bool of_whole_name = rule != rules.end();
  if (!of_whole_name) rule = std::ranges::find(rules, words.part, &TensorRule::here);
  TRM_REQUIRE(rule != rules.end(), "models of the type {} have no counterpart of {}",
              family.model_type, parameter.name);
  std::string there(rule->there);
  if (!words.layer.empty()) {
    there = fmt::format("{}{}{}{}", family.base, family.layers, words.layer, there);
  }
  if (!of_whole_name) there += words.kind;
  TensorMap map{.shape = parameter.shape};
  const bool matrix = parameter.shape.rank() == 2;
  map.transposed_there =
      matrix && (rule->layout == Layout::transposed || rule->layout == Layout::concatenated);
  switch (rule->layout) {
    case Layout::plain:
    case Layout::transposed:
      map.runs.push_back({.tensor = there, .count = parameter.shape[0]});
      break;
    case Layout::heads:
    case Layout::words:
    case Layout::interleaved:
    case Layout::concatenated:
      map.runs = QkvRuns(model, there, rule->layout).list();
      break;
  }
  return map;
}

}  // namespace

std::vector<NamedShape> parameters_of(const ModelConfig& model) {
  std::vector<NamedShape> all;
  const auto add = [&](UnitKind kind, const std::string& layer) {
    visit_unit(model, kind, [&](const Parameter& p) {
      if (p.role == ParameterRole::tied_copy) return;
      std::string name = p.name;
      if (!layer.empty()) {
        TRM_CHECK(name.starts_with(kFirstLayer), "{} in a layer", name);
        name = layer + name.substr(kFirstLayer.size());
      }
      all.push_back({std::move(name), p.global_shape});
    });
  };
  add(UnitKind::embedding, "");
  for (std::int64_t i = 0; i < model.num_layers; ++i) {
    add(UnitKind::layer, fmt::format("{}{}.", kLayers, i));
  }
  if (model.has_final_norm()) add(UnitKind::norm, "");
  add(UnitKind::head, "");
  return all;
}

std::map<std::string, TensorMap> parameters_from(const Family& family,
                                                 const ModelConfig& model) {
  std::map<std::string, TensorMap> maps;
  for (const NamedShape& p : parameters_of(model)) {
    maps.emplace(fmt::format("{}{}", kModel, p.name), map_of(family, model, p));
  }
  return maps;
}

std::map<std::string, TensorMap> inverse(const std::map<std::string, TensorMap>& maps) {
  std::map<std::string, TensorMap> undone;
  for (const auto& [name, map] : maps) {
    for (const RowRun& run : map.runs) {
      TensorMap& other = undone[run.tensor];
      const std::int64_t rows =
          other.runs.empty() ? 0 : other.shape[map.transposed_there ? 1 : 0];
      other.shape = map.shape;
      if (map.transposed_there) other.shape = {map.shape[1], 0};
      other.shape[map.transposed_there ? 1 : 0] = rows + run.count;
      other.transposed_here = map.transposed_there;
      other.transposed_there = map.transposed_here;
      other.runs.push_back({.tensor = name,
                            .count = run.count,
                            .here = run.there,
                            .there = run.here,
                            .step_here = run.step_there,
                            .step_there = run.step_here});
    }
  }
  return undone;
}

std::map<std::string, TensorMap> tensors_from(const Family& family, const ModelConfig& model,
                                              const WeightSource& source) {
  auto tensors = inverse(parameters_from(family, model));
  for (auto& [name, map] : tensors) {
    for (RowRun& run : map.runs) {
      run.tensor = most_precise(source, run.tensor.substr(kModel.size()));
    }
  }
  return tensors;
}

}  // namespace trireme::huggingface
