// SPDX-License-Identifier: Apache-2.0
// Applies the deck's partition method to the model's units.
#include "trireme/deck/stage_bounds.hpp"

#include <algorithm>

#include "trireme/model/transformer.hpp"
#include "trireme/pipeline/partition.hpp"

namespace trireme {

namespace {

std::string_view type_name(UnitKind kind, bool perceptron) {
  if (perceptron) return kind == UnitKind::embedding ? kInputUnit : kPerceptronUnit;
  switch (kind) {
    case UnitKind::embedding:
      return kEmbeddingUnit;
    case UnitKind::layer:
      return kLayerUnit;
    case UnitKind::norm:
      return kNormUnit;
    case UnitKind::head:
      return kHeadUnit;
  }
  throw Error("unknown unit");
}

/// Operations of a unit's GEMMs and attention in forward and backward, as flops_per_token()
/// counts them, for a row of a sample.
std::int64_t operations_of(const ModelConfig& m, const UnitInfo& unit, std::int64_t layer) {
  const auto rows = static_cast<double>(m.is_perceptron() ? 1 : m.seq_length);
  double matrices = 0;
  visit_unit(
      m, unit.kind,
      [&](const Parameter& p) {
        if (p.global_shape.rank() == 2) matrices += static_cast<double>(p.global_shape.count());
      },
      layer);
  double operations = 6 * rows * matrices;
  if (unit.kind == UnitKind::embedding) {
    operations =
        m.is_vision() ? 4 * rows * static_cast<double>(m.hidden_size * m.patch_bytes()) : 0;
  }
  if (unit.kind == UnitKind::head && m.pools_rows()) operations /= rows;
  if (unit.kind == UnitKind::layer && !m.is_perceptron()) {
    const std::int64_t window = m.window_of(layer);
    const double keys = window > 0 ? std::min(static_cast<double>(window), rows) : rows;
    operations += 12 * rows * keys * static_cast<double>(m.attention_width());
  }
  constexpr double kMost = 1e13;  // a model's units together can be counted
  return static_cast<std::int64_t>(std::min(operations / rows, kMost));
}

std::vector<PipelineUnit> units_of(const DeckSettings& deck, bool with_operations) {
  std::vector<PipelineUnit> units;
  for (const UnitInfo& u : list_units(deck.model)) {
    const std::int64_t layer = std::ssize(units) - 1;
    units.push_back({std::string(type_name(u.kind, deck.model.is_perceptron())), u.parameters,
                     with_operations ? operations_of(deck.model, u, layer) : 0});
  }
  return units;
}

int parts_of(const DeckSettings& deck) {
  return deck.pipe_parallel_size * deck.virtual_pipeline_chunks;
}

}  // namespace

std::vector<int> stage_bounds(const DeckSettings& deck) {
  const bool with_operations = deck.pipe_partition_method == kByOperations;
  return partition(deck.pipe_partition_method, units_of(deck, with_operations), parts_of(deck));
}

double stage_imbalance(const DeckSettings& deck, const std::string& method) {
  const std::vector<PipelineUnit> units = units_of(deck, true);
  const std::vector<int> bounds = partition(method, units, parts_of(deck));
  double all = 0;
  double most = 0;
  for (std::size_t part = 0; part + 1 < bounds.size(); ++part) {
    double sum = 0;
    for (int u = bounds[part]; u < bounds[part + 1]; ++u) {
      sum += static_cast<double>(units[static_cast<std::size_t>(u)].operations);
    }
    all += sum;
    most = std::max(most, sum);
  }
  return all > 0 ? most * static_cast<double>(bounds.size() - 1) / all - 1 : 0;
}

Layers layers_between(const DeckSettings& deck, int begin, int end) {
  // Unit 0 is the embedding, and layer i is unit i + 1.
  const std::int64_t first = std::max(begin - 1, 0);
  const std::int64_t behind = std::min<std::int64_t>(end - 1, deck.model.num_layers);
  return {first, std::max<std::int64_t>(behind - first, 0)};
}

}  // namespace trireme
