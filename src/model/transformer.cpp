// SPDX-License-Identifier: Apache-2.0
// Building a model's parts and running through their units.
#include "trireme/model/transformer.hpp"

#include <algorithm>
#include <utility>

#include "trireme/device/block_pool.hpp"
#include "trireme/ops/attention.hpp"

#include "block.hpp"
#include "embedding.hpp"
#include "head.hpp"
#include "recompute.hpp"

namespace trireme {

namespace {

std::int64_t norm_parameters(const ModelConfig& c) {
  const bool bias = c.norm == Norm::layernorm && c.use_bias_in_norms;
  return (bias ? 2 : 1) * c.hidden_size;
}

std::int64_t layer_parameters(const ModelConfig& c) {
  const std::int64_t h = c.hidden_size;
  const std::int64_t qkv = h + 2 * c.num_kv_heads * c.head_dim();
  const std::int64_t inner = c.mlp_inner();
  const std::int64_t ups = gated(c.activation) ? 2 : 1;
  std::int64_t n = qkv * h + h * h + (ups + 1) * inner * h;
  if (c.use_bias_in_attn_linear) n += qkv + h;
  if (c.use_bias_in_mlp) n += ups * inner + h;
  const bool one_norm = c.gpt_j_residual && c.gpt_j_tied;
  return n + (one_norm ? 1 : 2) * norm_parameters(c);
}

/// Angles of all positions, shared by the layers of a part.
Tensor make_rotary(const Exec& ex, DType dtype, const ModelConfig& c) {
  if (c.pos_emb != PositionEmbedding::rotary) return {};
  const auto dim = static_cast<std::int64_t>(c.rotary_pct * static_cast<double>(c.head_dim()));
  TRM_REQUIRE(
      dim > 0 && dim % 2 == 0,
      "rotary_pct {} of head dimension {} rotates {} entries; it must be an even number",
      c.rotary_pct, c.head_dim(), dim);
  return ops::rotary_table(ex, dtype, c.seq_length, dim, c.rotary_emb_base);
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

std::vector<UnitInfo> list_units(const ModelConfig& config) {
  const std::int64_t table = config.vocab_size * config.hidden_size;
  std::vector<UnitInfo> units;
  const bool learned = config.pos_emb == PositionEmbedding::learned;
  units.push_back(
      {UnitKind::embedding,
       table + (learned ? config.max_position_embeddings * config.hidden_size : 0)});
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    units.push_back({UnitKind::layer, layer_parameters(config)});
  }
  units.push_back({UnitKind::norm, norm_parameters(config)});
  units.push_back({UnitKind::head, config.no_weight_tying ? table : 0});
  return units;
}

std::int64_t count_parameters(const ModelConfig& config) {
  std::int64_t n = 0;
  for (const UnitInfo& u : list_units(config)) n += u.parameters;
  return n;
}

double flops_per_token(const ModelConfig& config) {
  const auto units = list_units(config);
  std::int64_t n = count_parameters(config) - units.front().parameters;
  if (!config.no_weight_tying) n += config.vocab_size * config.hidden_size;
  return 6.0 * static_cast<double>(n) +
         12.0 * static_cast<double>(config.num_layers * config.hidden_size * config.seq_length);
}

ModelPart::ModelPart(const Exec& ex, DType dtype, const ModelConfig& config,
                     const TensorParallel& tp, int first_unit, int end_unit,
                     const RecomputeConfig& recompute)
    : recompute_(recompute), tp_(tp) {
  const auto infos = list_units(config);
  TRM_CHECK(
      0 <= first_unit && first_unit < end_unit && end_unit <= static_cast<int>(infos.size()),
      "units {} to {} of {}", first_unit, end_unit, infos.size());
  TRM_CHECK(recompute.num_layers > 0, "groups of {} layers", recompute.num_layers);
  if (moves_to_host(ex.device, recompute)) host_pool_ = HostPool::make(ex.device, ex.stream);
  first_ = first_unit == 0;
  last_ = end_unit == static_cast<int>(infos.size());
  const Tensor rotary = make_rotary(ex, dtype, config);
  for (int u = first_unit; u < end_unit; ++u) {
    switch (infos[static_cast<std::size_t>(u)].kind) {
      case UnitKind::embedding:
        units_.push_back(std::make_unique<Embedding>(config, tp));
        break;
      case UnitKind::layer:
        if (recompute.kind == RecomputeConfig::Kind::full) {
          if (end_again_ == 0) first_again_ = units_.size();
          end_again_ = units_.size() + 1;
        }
        units_.push_back(std::make_unique<Block>(
            u - 1, config, tp, rotary, recompute.kind == RecomputeConfig::Kind::selective));
        break;
      case UnitKind::norm:
        units_.push_back(std::make_unique<FinalNorm>(config, tp.rows_are_cut()));
        break;
      case UnitKind::head:
        add_head(config, tp);
        break;
    }
  }
}

void ModelPart::add_head(const ModelConfig& config, const TensorParallel& tp) {
  auto* embedding = first_ ? dynamic_cast<Embedding*>(units_.front().get()) : nullptr;
  Parameter* shared = embedding != nullptr ? &embedding->table() : nullptr;
  units_.push_back(std::make_unique<Head>(config, tp, shared));
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
  for (std::size_t u = units_.size(); u-- > 0;) {
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
    if (opens_group(use.unit)) keep_input(ex, recompute_, tp_, host_pool_.get(), x, tape);
    x = unit.forward(ex, x, computed_again(use.unit) ? unrecorded : tape);
    for (UnitObserver* o : pass.observers) o->observe(use, unit, x);
    observe_after(ex, use, unit, pass);
  }
  return x;
}

Tensor ModelPart::backward(const Exec& ex, Tensor dy, Tape& tape, const PartPass& pass) {
  Tensor x;  // of the group that is computed again
  for (const UnitUse& use : backward_uses(pass)) {
    Module& unit = *units_[use.unit];
    observe_before(ex, use, unit, pass);
    if (use.pass == UnitUse::Pass::backward) {
      dy = unit.backward(ex, dy, tape);
    } else {
      if (opens_group(use.unit)) x = take_input(ex, recompute_, tp_, host_pool_.get(), tape);
      if (closes_group(use.unit)) {
        unit.record(ex, std::exchange(x, {}), tape);
      } else {
        x = unit.forward(ex, x, tape);
      }
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

Tensor ModelPart::logits(const Exec& ex, Tensor x, Tape& tape) {
  TRM_CHECK(last_, "logits of a part without the head");
  for (std::size_t i = 0; i + 1 < units_.size(); ++i) x = units_[i]->forward(ex, x, tape);
  return dynamic_cast<Head&>(*units_.back()).logits(ex, x);
}

void ModelPart::visit(const ParameterVisitor& f) {
  for (auto& unit : units_) unit->visit(f);
}

}  // namespace trireme
