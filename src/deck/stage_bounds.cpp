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

}  // namespace

std::vector<int> stage_bounds(const DeckSettings& deck) {
  std::vector<PipelineUnit> units;
  for (const UnitInfo& u : list_units(deck.model)) {
    units.push_back({std::string(type_name(u.kind, deck.model.is_perceptron())), u.parameters});
  }
  return partition(deck.pipe_partition_method, units,
                   deck.pipe_parallel_size * deck.virtual_pipeline_chunks);
}

Layers layers_between(const DeckSettings& deck, int begin, int end) {
  // Unit 0 is the embedding, and layer i is unit i + 1.
  const std::int64_t first = std::max(begin - 1, 0);
  const std::int64_t behind = std::min<std::int64_t>(end - 1, deck.model.num_layers);
  return {first, std::max<std::int64_t>(behind - first, 0)};
}

}  // namespace trireme
