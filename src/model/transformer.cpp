// SPDX-License-Identifier: Apache-2.0
// Building a model's parts and running through their units.
#include "trireme/model/transformer.hpp"

#include <algorithm>
#include <utility>

#include "trireme/device/block_pool.hpp"
#include "trireme/model/mup.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/ops/attention.hpp"
#include "trireme/ops/embedding.hpp"

#include "block.hpp"
#include "embedding.hpp"
#include "head.hpp"
#include "output_transform.hpp"
#include "patch_embedding.hpp"
#include "perceptron.hpp"
#include "pooled_classifier.hpp"
#include "recompute.hpp"
#include "rope.hpp"

namespace trireme {

namespace {

/// What units are made from, besides the number of a layer.
struct UnitSources {
  const ModelConfig& config;
  const TensorParallel& tp;
  Tensor rotary = {};
  Tensor local_rotary = {};  ///< if layers with a window have a base of their own
  bool attention_again = false;
  Parameter* table = nullptr;  ///< the token embedding's, if the part has one
  bool head_alone = false;     ///< no unit below the head trains
  Tensor bytes = {};           ///< pixel_values() of models of images

  [[nodiscard]] const Tensor& rotary_of(std::int64_t layer) const {
    return local_rotary.defined() && config.window_of(layer) > 0 ? local_rotary : rotary;
  }
};

std::unique_ptr<Module> make_perceptron_unit(UnitKind kind, std::int64_t layer,
                                             const UnitSources& from) {
  if (kind == UnitKind::embedding) {
    return std::make_unique<PixelInput>(from.config.sample().inputs, from.bytes);
  }
  if (kind == UnitKind::head) return make_classifier(from.config, from.tp, from.head_alone);
  return std::make_unique<PerceptronLayer>(layer, from.config, from.tp);
}

std::unique_ptr<Module> make_unit(UnitKind kind, std::int64_t layer, const UnitSources& from) {
  if (from.config.is_perceptron()) return make_perceptron_unit(kind, layer, from);
  switch (kind) {
    case UnitKind::embedding:
      if (from.config.is_vision()) {
        return std::make_unique<PatchEmbedding>(from.config, from.tp, from.bytes);
      }
      return std::make_unique<Embedding>(from.config, from.tp);
    case UnitKind::layer:
      return std::make_unique<Block>(layer, from.config, from.tp, from.rotary_of(layer),
                                     from.attention_again);
    case UnitKind::norm:
      if (from.config.transforms_output()) {
        return std::make_unique<OutputTransform>(from.config, from.tp);
      }
      return std::make_unique<FinalNorm>(from.config, from.tp.rows_are_cut());
    case UnitKind::head:
      if (from.config.pools_rows()) {
        return std::make_unique<PooledClassifier>(from.config, from.tp, from.head_alone);
      }
      return std::make_unique<Head>(from.config, from.tp, from.table, from.head_alone);
  }
  throw Error("unknown unit");
}

/// The kinds of a model's units, in order.
std::vector<UnitKind> unit_kinds(const ModelConfig& config) {
  const bool perceptron = config.is_perceptron();
  std::vector<UnitKind> kinds{UnitKind::embedding};
  const std::int64_t layers = config.num_layers - (perceptron ? 1 : 0);  // the head is one
  kinds.insert(kinds.end(), static_cast<std::size_t>(layers), UnitKind::layer);
  if (config.has_final_norm()) kinds.push_back(UnitKind::norm);
  kinds.push_back(UnitKind::head);
  return kinds;
}

/// Width of the activations before a unit. A transformer's have one width.
std::int64_t width_before(const ModelConfig& config, int unit) {
  if (!config.is_perceptron()) return config.hidden_size;
  return config.mlp_sizes[static_cast<std::size_t>(std::max(unit - 1, 0))];
}

std::int64_t own_parameters(const ModelConfig& config, UnitKind kind, std::int64_t layer) {
  std::int64_t n = 0;
  visit_unit(
      config, kind,
      [&](const Parameter& p) {
        if (p.role != ParameterRole::tied_copy) n += p.global_shape.count();
      },
      layer);
  return n;
}

/// Angles of all positions, shared by layers of a part.
Tensor make_rotary(const Exec& ex, DType dtype, const ModelConfig& c, bool local) {
  if (c.pos_emb != PositionEmbedding::rotary) return {};
  if (local && c.rotary_emb_local_base == 0) return {};
  const std::int64_t dim = c.rotary_dims();
  TRM_REQUIRE(
      dim > 0 && dim % 2 == 0,
      "rotary_pct {} of head dimension {} rotates {} entries; it must be an even number",
      c.rotary_pct, c.head_dim(), dim);
  return ops::rotary_table(ex, rotary_rule(c, dtype, local));
}

void observe_before(const Exec& ex, const UnitUse& use, Module& unit, const PartPass& pass) {
  ex.device.begin_range(unit.name());
  const Arena::Scope outside(ex.device.pool());
  for (UnitObserver* o : pass.observers) o->before(use, unit);
}

void observe_after(const Exec& ex, const UnitUse& use, Module& unit, const PartPass& pass) {
  {
    const Arena::Scope outside(ex.device.pool());
    for (std::size_t i = pass.observers.size(); i-- > 0;) pass.observers[i]->after(use, unit);
  }
  ex.device.end_range();
}

}  // namespace

void visit_unit(const ModelConfig& config, UnitKind kind, const ParameterVisitor& f,
                std::int64_t layer) {
  const TensorParallel alone;
  make_unit(kind, layer, {config, alone})->visit(f);
}

void visit_model(const ModelConfig& config,
                 const std::function<void(int unit, Parameter&)>& f) {
  const TensorParallel alone;
  const TrainedParameters choice(config);
  const WidthScales widths(config);
  int number = 0;
  for (const UnitKind kind : unit_kinds(config)) {
    make_unit(kind, number - 1, {config, alone})->visit([&](Parameter& p) {
      p.trains = choice.trains(p);
      p.width = widths.of(p);
      f(number, p);
    });
    ++number;
  }
}

std::vector<UnitInfo> list_units(const ModelConfig& config) {
  std::vector<UnitInfo> units;
  std::int64_t of_layers = 0;  // equal for the layers of a transformer
  for (const UnitKind kind : unit_kinds(config)) {
    const std::int64_t layer = std::ssize(units) - 1;
    const bool known = kind == UnitKind::layer && layer > 0 && !config.is_perceptron();
    const std::int64_t n = known ? of_layers : own_parameters(config, kind, layer);
    if (kind == UnitKind::layer) of_layers = n;
    units.push_back({kind, n});
  }
  return units;
}

std::int64_t count_parameters(const ModelConfig& config) {
  std::int64_t n = 0;
  for (const UnitInfo& u : list_units(config)) n += u.parameters;
  return n;
}

namespace {

/// Keys that a query meets in a layer; a perceptron has no queries.
double keys_of(const ModelConfig& config, std::int64_t layer) {
  if (config.is_perceptron()) return 0;
  const std::int64_t window = config.window_of(layer);
  return static_cast<double>(window > 0 ? std::min(window, config.seq_length)
                                        : config.seq_length);
}

/// Whether a parameter of the first unit is a matrix that multiplies rows: that of patches.
bool multiplies_inputs(const ModelConfig& config, const Parameter& p) {
  return config.is_vision() &&
         p.global_shape == Shape{config.hidden_size, config.patch_bytes()};
}

/// flops_per_token() of a model in which some parameters don't train.
double flops_of_partial_training(const ModelConfig& config) {
  const int first = first_trained_unit(config);
  std::int64_t n = 0;
  visit_model(config, [&](int unit, const Parameter& p) {
    if (unit == 0 && !multiplies_inputs(config, p)) return;
    const std::int64_t passes = 1 + (unit >= std::max(first, 1) ? 1 : 0) + (p.trains ? 1 : 0);
    n += 2 * passes * p.global_shape.count();
  });
  auto operations = static_cast<double>(n);
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    const int passes = layer + 1 >= first ? 3 : 1;
    operations +=
        4.0 * passes * static_cast<double>(config.attention_width()) * keys_of(config, layer);
  }
  return operations;
}

}  // namespace

double all_keys(const ModelConfig& config) {
  double keys = 0;
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    keys += keys_of(config, layer);
  }
  return keys;
}

double flops_per_token(const ModelConfig& config) {
  if (!TrainedParameters(config).all()) return flops_of_partial_training(config);
  std::int64_t n = 0;
  for (const UnitInfo& unit : list_units(config)) {
    if (unit.kind == UnitKind::layer || unit.kind == UnitKind::norm) n += unit.parameters;
  }
  double of_head = 0;
  visit_unit(config, UnitKind::head, [&](const Parameter& p) {
    of_head += static_cast<double>(p.global_shape.count());  // the output matrix, tied or not
  });
  if (config.pools_rows()) {  // one row of a sample
    of_head /= static_cast<double>(config.seq_length);
  }
  double of_patches = 0;  // two GEMMs, since nothing is below
  if (config.is_vision()) {
    of_patches = 4 * static_cast<double>(config.hidden_size * config.patch_bytes());
  }
  return 6.0 * (static_cast<double>(n) + of_head) + of_patches +
         12.0 * static_cast<double>(config.attention_width()) * all_keys(config);
}

ModelPart::ModelPart(const Exec& ex, DType dtype, const ModelConfig& config,
                     const TensorParallel& tp, int first_unit, int end_unit,
                     const RecomputeConfig& recompute)
    : recompute_(recompute), tp_(tp) {
  const auto infos = list_units(config);
  TRM_CHECK(
      0 <= first_unit && first_unit < end_unit && end_unit <= static_cast<int>(infos.size()),
      "units {} to {} of {}", first_unit, end_unit, infos.size());
  TRM_CHECK(recompute.num_layers > 0, "recompute groups of {} layers", recompute.num_layers);
  if (moves_to_host(ex.device, recompute)) {
    host_inputs_ = std::make_unique<HostInputs>(ex.device);
  }
  first_ = first_unit == 0;
  last_ = end_unit == static_cast<int>(infos.size());
  input_width_ = width_before(config, first_unit);
  output_width_ = width_before(config, end_unit);
  const int lowest = first_trained_unit(config);
  backward_end_ =
      static_cast<std::size_t>(std::clamp(lowest, first_unit, end_unit) - first_unit);
  passes_gradient_ = lowest < first_unit;
  UnitSources from{config, tp, make_rotary(ex, dtype, config, false),
                   make_rotary(ex, dtype, config, true),
                   recompute.kind == RecomputeConfig::Kind::selective};
  if (first_ && config.task == Task::image_classification) {
    from.bytes = pixel_values(ex, dtype, config.image_mean, config.image_std);
  }
  from.head_alone = lowest + 1 == static_cast<int>(infos.size());
  const TrainedParameters choice(config);
  const WidthScales widths(config);
  for (int u = first_unit; u < end_unit; ++u) {
    const UnitKind kind = infos[static_cast<std::size_t>(u)].kind;
    if (kind == UnitKind::layer && recompute.kind == RecomputeConfig::Kind::full &&
        u >= lowest) {
      if (end_again_ == 0) first_again_ = units_.size();
      end_again_ = units_.size() + 1;
    }
    units_.push_back(make_unit(kind, u - 1, from));
    units_.back()->visit([&](Parameter& p) {
      p.trains = choice.trains(p);
      p.width = widths.of(p);
    });
    auto* embedding = dynamic_cast<Embedding*>(units_.back().get());
    if (embedding != nullptr) from.table = &embedding->table();
  }
}

bool ModelPart::opens_group(std::size_t unit) const {
  const auto n = static_cast<std::size_t>(recompute_.num_layers);
  return computed_again(unit) && (unit - first_again_) % n == 0;
}

bool ModelPart::closes_group(std::size_t unit) const {
  return computed_again(unit) && (unit + 1 == end_again_ || opens_group(unit + 1));
}

std::vector<UnitUse> ModelPart::forward_uses(bool training, const PartPass& pass) const {
  std::vector<UnitUse> uses;
  for (std::size_t u = 0; u < units_.size(); ++u) {
    uses.push_back({u, UnitUse::Pass::forward, training, pass.part, pass.micro_batch});
  }
  return uses;
}

std::vector<UnitUse> ModelPart::backward_uses(const PartPass& pass) const {
  std::vector<UnitUse> uses;
  const auto add = [&](std::size_t unit, UnitUse::Pass kind) {
    uses.push_back({unit, kind, true, pass.part, pass.micro_batch});
  };
  for (std::size_t u = units_.size(); u-- > backward_end_;) {
    if (closes_group(u)) {
      std::size_t again = u;
      while (!opens_group(again)) --again;
      for (; again <= u; ++again) add(again, UnitUse::Pass::recompute);
    }
    add(u, UnitUse::Pass::backward);
  }
  return uses;
}

Tensor ModelPart::forward(const Exec& ex, Tensor x, Tape& tape, const PartPass& pass) {
  Tape unrecorded(tape.micro_batch(), false);
  for (const UnitUse& use : forward_uses(tape.micro_batch().training, pass)) {
    Module& unit = *units_[use.unit];
    observe_before(ex, use, unit, pass);
    if (opens_group(use.unit)) keep_input(ex, recompute_, tp_, host_inputs_.get(), x, tape);
    const bool kept = use.unit >= backward_end_ && !computed_again(use.unit);
    x = unit.forward(ex, x, kept ? tape : unrecorded);
    for (UnitObserver* o : pass.observers) o->observe(use, unit, x);
    observe_after(ex, use, unit, pass);
  }
  return x;
}

Tensor ModelPart::backward(const Exec& ex, Tensor dy, Tape& tape, const PartPass& pass) {
  Tensor x;  // input of the next unit to recompute
  for (const UnitUse& use : backward_uses(pass)) {
    Module& unit = *units_[use.unit];
    observe_before(ex, use, unit, pass);
    if (use.pass == UnitUse::Pass::backward) {
      dy = unit.backward(ex, dy, tape);
    } else {
      if (opens_group(use.unit)) x = take_input(ex, recompute_, tp_, host_inputs_.get(), tape);
      tape.set_recomputing(true);
      if (closes_group(use.unit)) {
        unit.record(ex, std::exchange(x, {}), tape);
      } else {
        x = unit.forward(ex, x, tape);
      }
      tape.set_recomputing(false);
    }
    observe_after(ex, use, unit, pass);
  }
  TRM_CHECK(tape.empty(), "backward left activations on the tape");
  return dy;
}

void ModelPart::observe_uses(const Exec& ex, const std::vector<UnitUse>& uses,
                             const PartPass& pass) {
  for (const UnitUse& use : uses) {
    observe_before(ex, use, *units_[use.unit], pass);
    observe_after(ex, use, *units_[use.unit], pass);
  }
}

Tensor ModelPart::before_head(const Exec& ex, Tensor x, Tape& tape) {
  TRM_CHECK(last_, "a model part without the head has no logits");
  for (std::size_t i = 0; i + 1 < units_.size(); ++i) x = units_[i]->forward(ex, x, tape);
  return x;
}

Tensor ModelPart::logits(const Exec& ex, Tensor x, Tape& tape, const ConstView& rows) {
  x = before_head(ex, std::move(x), tape);
  if (!rows.empty()) {
    Tensor chosen = ex.make(x.dtype(), Shape{rows.count(), x.cols()});
    ops::embedding_forward(ex, {.ids = rows, .table = x, .first_row = 0, .y = chosen});
    x = std::move(chosen);
  }
  return dynamic_cast<Head&>(*units_.back()).logits(ex, x);
}

Tensor ModelPart::head_logits(const Exec& ex, const Tensor& x) const {
  TRM_CHECK(last_, "a model part without the head has no logits");
  return dynamic_cast<const Head&>(*units_.back()).logits(ex, x);
}

Tensor ModelPart::score(const Exec& ex, Tensor x, Tape& tape) {
  x = before_head(ex, std::move(x), tape);
  return dynamic_cast<Head&>(*units_.back()).score(ex, x, tape.micro_batch().targets);
}

void ModelPart::visit(const ParameterVisitor& f) {
  for (auto& unit : units_) unit->visit(f);
}

}  // namespace trireme
