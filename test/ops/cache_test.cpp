// SPDX-License-Identifier: Apache-2.0
// Attention over a cache against attention of whole sequences, for sequences of any lengths.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/ops/attention.hpp"

#include "attention_cases.hpp"
#include "half.hpp"

namespace trireme::test {

namespace {

Tensor ids(const std::vector<std::int32_t>& numbers) {
  Tensor t = cpu().make(DType::i32, Shape{static_cast<std::int64_t>(numbers.size())});
  std::ranges::copy(numbers, t.data<std::int32_t>());
  return t;
}

/// Rows of equal width in a new array.
Tensor picked(const Tensor& from, const std::vector<std::int64_t>& rows) {
  Tensor to =
      cpu().make(from.dtype(), Shape{static_cast<std::int64_t>(rows.size()), from.cols()});
  const std::size_t bytes = static_cast<std::size_t>(from.cols()) * size_of(from.dtype());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(static_cast<std::byte*>(to.view().raw()) + i * bytes,
                static_cast<const std::byte*>(from.view().raw()) +
                    static_cast<std::size_t>(rows[i]) * bytes,
                bytes);
  }
  return to;
}

/// The last token of each sequence, whose other tokens are in the cache.
void check(DType type, AttentionShape shape, const std::vector<std::int32_t>& lengths,
           double bound, const ScoreRule& scores = {}) {
  shape.batch = static_cast<std::int64_t>(lengths.size());
  shape.seq = *std::ranges::max_element(lengths) + 1;
  Run run(type, shape, 2);
  run.rule = scores;
  run.lse = poisoned(accumulator_type(type), run.lse.shape());
  run.forward();
  std::vector<std::int32_t> slots;
  std::vector<std::int64_t> last;
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    slots.push_back(static_cast<std::int32_t>(2 * lengths.size() - 1 - 2 * b));
    last.push_back(static_cast<std::int64_t>(b) * shape.seq + lengths[b]);
  }
  const Shape form{2 * shape.batch, shape.kv_heads, shape.seq + 3, shape.head_dim};
  const Tensor keys = poisoned(type, form);
  const Tensor values = poisoned(type, form);
  ops::cache_append(cpu(), {.shape = shape,
                            .slots = ids(slots),
                            .lengths = ids(std::vector<std::int32_t>(lengths.size(), 0)),
                            .counts = ids(lengths),
                            .qkv = run.qkv,
                            .keys = keys,
                            .values = values});
  AttentionShape one = shape;
  one.seq = 1;
  const Tensor rows = picked(run.qkv, last);
  const Tensor out = poisoned(type, Shape{shape.batch, shape.heads() * shape.head_dim});
  ops::cache_append(cpu(), {.shape = one,
                            .slots = ids(slots),
                            .lengths = ids(lengths),
                            .counts = ids(std::vector<std::int32_t>(lengths.size(), 1)),
                            .qkv = rows,
                            .keys = keys,
                            .values = values});
  ops::attention_cached(cpu(), {.shape = one,
                                .scores = scores,
                                .slots = ids(slots),
                                .lengths = ids(lengths),
                                .qkv = rows,
                                .keys = keys,
                                .values = values,
                                .out = out});
  BOOST_TEST(relative_error(as_f64(out), host(as_f64(picked(run.out, last)))) < bound);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cache)

BOOST_AUTO_TEST_CASE(equals_attention_of_whole_sequences) {
  for (const AttentionShape& shape : {shape_of(1, 16, 2, 1), shape_of(1, 5, 3, 2),
                                      shape_of(1, 80, 1, 8), shape_of(1, 64, 2, 3)}) {
    for (const std::vector<std::int32_t>& lengths :
         {std::vector<std::int32_t>{0, 1, 63, 64, 100}, {511, 512, 513}, {1200, 7}}) {
      check(DType::f64, shape, lengths, 1e-12);
      check(DType::f32, shape, lengths, 5e-6);
      check(DType::bf16, shape, lengths, 1e-2);
      check(DType::f16, shape, lengths, 2e-3);
    }
  }
}

BOOST_AUTO_TEST_CASE(knows_windows_caps_scales_and_slopes) {
  const AttentionShape shape = shape_of(1, 16, 2, 2);
  for (const ScoreRule& scores :
       {ScoreRule{.scale = 0.4}, ScoreRule{.softcap = 1.5}, ScoreRule{.window = 64},
        ScoreRule{.window = 1}, ScoreRule{.alibi_heads = 4},
        ScoreRule{.scale = 0.3, .softcap = 2, .window = 600, .alibi_heads = 4}}) {
    check(DType::f64, shape, {0, 63, 64, 700, 5}, 1e-12, scores);
    check(DType::f32, shape, {0, 63, 64, 700, 5}, 5e-6, scores);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace trireme::test
