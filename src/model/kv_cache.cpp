// SPDX-License-Identifier: Apache-2.0
// Memory of the cache.
#include "trireme/model/kv_cache.hpp"

namespace trireme {

namespace {

Shape shape_of(const ModelConfig& config, const TensorParallel& tp,
               const KvCache::Extent& extent) {
  return {extent.slots, config.num_kv_heads / tp.size(), extent.max_length, config.head_dim()};
}

}  // namespace

KvCache::KvCache(const Exec& ex, DType dtype, const ModelConfig& config,
                 const TensorParallel& tp, const Extent& extent)
    : extent_(extent) {
  for (std::int64_t i = 0; i < extent.layers; ++i) {
    keys_.push_back(ex.make(dtype, shape_of(config, tp, extent)));
    values_.push_back(ex.make(dtype, shape_of(config, tp, extent)));
  }
}

View KvCache::keys(std::int64_t layer) const {
  return keys_.at(static_cast<std::size_t>(layer - extent_.first_layer));
}

View KvCache::values(std::int64_t layer) const {
  return values_.at(static_cast<std::size_t>(layer - extent_.first_layer));
}

std::size_t KvCache::bytes(DType dtype, const ModelConfig& config, const TensorParallel& tp,
                           const Extent& extent) {
  return static_cast<std::size_t>(2 * extent.layers * shape_of(config, tp, extent).count()) *
         size_of(dtype);
}

}  // namespace trireme
