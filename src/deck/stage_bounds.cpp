// SPDX-License-Identifier: Apache-2.0
// Applies the deck's partition method to the model's units.
#include "trireme/deck/stage_bounds.hpp"

#include "trireme/model/transformer.hpp"
#include "trireme/pipeline/partition.hpp"

namespace trireme {

namespace {

std::string_view type_name(UnitKind kind) {
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
    units.push_back({std::string(type_name(u.kind)), u.parameters});
  }
  return partition(deck.pipe_partition_method, units,
                   deck.pipe_parallel_size * deck.virtual_pipeline_chunks);
}

}  // namespace trireme
