// SPDX-License-Identifier: Apache-2.0
// Compares the cache of keys and values on the GPU with the CPU's.
#include "trireme/ops/attention.hpp"

#include "../../support/turns.hpp"
#include "twins.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

Twin ids_of(Backends& b, const std::vector<std::int32_t>& ids) {
  return {b, DType::i32, 1, static_cast<std::int64_t>(ids.size()), {}, ids.data()};
}

View flat(const View& v) { return v.reshape(Shape{v.count()}); }

void check_cache(Backends& b, DType type, const AttentionShape& shape,
                 const ScoreRule& scores) {
  constexpr std::int64_t kSlots = 3;
  constexpr std::int64_t kLength = 40;
  const Twin slots = ids_of(b, {2, 0});
  const Twin lengths = ids_of(b, {29, 3});
  const Twin counts = ids_of(b, {1, 1});
  const Twin qkv(b, type, 2, shape.row_width(), {}, 1, 2);
  const std::int64_t rows = kSlots * shape.kv_heads * kLength;
  const Twin keys(b, type, rows, shape.head_dim, {}, 2, 2);
  const Twin values(b, type, rows, shape.head_dim, {}, 3);
  const Twin out(b, type, 2, shape.heads() * shape.head_dim, {}, 0);
  const Shape form{kSlots, shape.kv_heads, kLength, shape.head_dim};
  on_both(b, [&](const Side& on) {
    on.kernels.run(on.stream, ops::CacheAppend{.shape = shape,
                                               .slots = flat(on(slots)),
                                               .lengths = flat(on(lengths)),
                                               .counts = flat(on(counts)),
                                               .qkv = on(qkv),
                                               .keys = on(keys).reshape(form),
                                               .values = on(values).reshape(form)});
    on.kernels.run(on.stream, ops::AttentionCached{.shape = shape,
                                                   .scores = scores,
                                                   .slots = flat(on(slots)),
                                                   .lengths = flat(on(lengths)),
                                                   .qkv = on(qkv),
                                                   .keys = on(keys).reshape(form),
                                                   .values = on(values).reshape(form),
                                                   .out = on(out)});
  });
  BOOST_TEST(keys.error(1e-300) == 0);
  BOOST_TEST(values.error(1e-300) == 0);
  BOOST_TEST(out.error(4e-6) <= 1);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_cache_equals_the_cpus) {
  Backends b;
  for (const DType type : kTypes) {
    for (const auto& [kv_heads, queries, dim] :
         {std::array<std::int64_t, 3>{2, 1, 16}, {1, 3, 80}, {3, 2, 5}}) {
      for (const ScoreRule& scores :
           {ScoreRule{},
            ScoreRule{.scale = 0.3, .softcap = 2, .window = 7, .alibi_heads = 6}}) {
        check_cache(b, type,
                    {.batch = 2,
                     .seq = 1,
                     .kv_heads = kv_heads,
                     .queries_per_kv = queries,
                     .head_dim = dim},
                    scores);
      }
    }
  }
}
