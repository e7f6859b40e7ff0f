// SPDX-License-Identifier: Apache-2.0
// Compares embeddings, rotary embedding and the sharded cross-entropy on the GPU with the
// CPU's.
#include "trireme/ops/attention.hpp"
#include "trireme/ops/cross_entropy.hpp"
#include "trireme/ops/embedding.hpp"

#include "../../support/turns.hpp"
#include "twins.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

View flat(const View& v) { return v.reshape(Shape{v.count()}); }

/// Makes ids, some outside of [0, limit) and one third of them equal.
Twin ids_of(Backends& b, std::int64_t n, int limit) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(n));
  std::uint32_t state = 5;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    state = state * 1664525U + 1013904223U;
    ids[i] = i % 3 == 0 ? 2 : static_cast<std::int32_t>((state >> 8U) % (limit + 4U)) - 2;
  }
  return {b, DType::i32, 1, n, {}, ids.data()};
}

void check_embedding(Backends& b, DType type, std::int64_t n, std::int64_t cols,
                     const Layout& layout) {
  twice([&] {
    constexpr int kRows = 50;
    const Twin ids = ids_of(b, n, kRows + 3);
    const Twin table(b, type, kRows, cols, layout, 1);
    const Twin y(b, type, n, cols, layout, 0);
    const Twin dy(b, type, n, cols, layout, 2);
    const Twin wide(b, DType::f32, kRows, cols, layout, 3);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream,
                     ops::EmbeddingForward{
                         .ids = flat(on(ids)), .table = on(table), .first_row = 3, .y = on(y)});
      on.kernels.run(
          on.stream,
          ops::EmbeddingBackward{
              .ids = flat(on(ids)), .dy = on(dy), .first_row = 3, .dtable = on(wide)});
    });
    BOOST_TEST(y.error(1e-300) == 0);
    // The sums are equal, but the GPU adds pieces, which the CPU does not.
    BOOST_TEST(wide.error(static_cast<double>(n) * 0x1p-22) <= 1);
    const Twin narrow(b, type, kRows, cols, layout, 4);
    const Twin few = ids_of(b, 3, kRows);
    const Twin few_dy(b, type, 3, cols, layout, 5);
    on_both(b, [&](const Side& on) {
      on.kernels.run(
          on.stream,
          ops::EmbeddingBackward{
              .ids = flat(on(few)), .dy = on(few_dy), .first_row = 0, .dtable = on(narrow)});
    });
    BOOST_TEST(narrow.error(1e-6) <= 1);
    return wide.gpu_bytes();
  });
}

/// Checks the gradient of a table of 50 rows for the given ids.
void check_gathered(Backends& b, DType type, DType table, std::int64_t cols,
                    const Layout& layout, const std::vector<std::int32_t>& ids) {
  twice([&] {
    const auto n = static_cast<std::int64_t>(ids.size());
    const Twin id(b, DType::i32, 1, n, {}, ids.data());
    const Twin dy(b, type, n, cols, layout, 2);
    const Twin sum(b, table, 50, cols, layout, 3);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream,
                     ops::EmbeddingBackward{
                         .ids = flat(on(id)), .dy = on(dy), .first_row = 0, .dtable = on(sum)});
    });
    BOOST_TEST(sum.error(static_cast<double>(n) * std::max(rounding(table), 0x1p-22)) <= 1);
    return sum.gpu_bytes();
  });
}

void check_positions(Backends& b, DType type, std::int64_t cols, const Layout& layout) {
  const Twin table(b, type, 11, cols, layout, 1);
  const Twin y(b, type, 30, cols, layout, 2);
  const Twin dy(b, type, 30, cols, layout, 3);
  const Twin dtable(b, DType::f32, 11, cols, layout, 4);
  const Twin narrow(b, type, 11, cols, layout, 5);
  on_both(b, [&](const Side& on) {
    on.kernels.run(on.stream, ops::PositionsForward{
                                  .table = on(table), .seq = 10, .first_row = 14, .y = on(y)});
    on.kernels.run(
        on.stream,
        ops::PositionsBackward{.dy = on(dy), .seq = 10, .first_row = 14, .dtable = on(dtable)});
    on.kernels.run(
        on.stream,
        ops::PositionsBackward{
            .dy = on(dy).slice_rows(0, 6), .seq = 10, .first_row = 7, .dtable = on(narrow)});
  });
  BOOST_TEST(y.error(1e-300) <= 0.01);
  BOOST_TEST(dtable.error(1e-300) == 0);
  BOOST_TEST(narrow.error(1e-300) <= 0.01);
}

void check_rotary(Backends& b, DType type, const AttentionShape& shape, std::int64_t dim,
                  const Layout& layout) {
  const std::vector<float> angles = numbers((shape.seq + 2) * dim, 8);
  const Twin table(b, DType::f32, shape.seq + 2, dim, {}, angles.data());
  const Twin qkv(b, type, shape.batch * shape.seq, shape.row_width(), layout, 1);
  const Twin back(b, type, shape.batch * shape.seq, shape.row_width(), layout, 2);
  on_both(b, [&](const Side& on) {
    on.kernels.run(on.stream, ops::Rotary{.shape = shape, .qkv = on(qkv), .table = on(table)});
    on.kernels.run(
        on.stream,
        ops::Rotary{.shape = shape, .qkv = on(back), .table = on(table), .inverse = true});
  });
  BOOST_TEST(qkv.error(2e-7) <= 1);
  BOOST_TEST(back.error(2e-7) <= 1);
}

void check_softmax(Backends& b, DType type, std::int64_t rows, std::int64_t cols,
                   const Layout& layout, double smoothing = 0) {
  const ops::LabelSmoothing smoothed{smoothing, cols + 5};
  twice([&] {
    const Twin targets = ids_of(b, rows, static_cast<int>(cols) + 5);
    const Twin logits(b, type, rows, cols, layout, 1, 12);
    const Twin max(b, DType::f32, 1, rows, {}, 0);
    const Twin sum(b, DType::f32, 1, rows, {}, 0);
    const Twin picked(b, DType::f32, 1, rows, {}, 0);
    const std::vector<float> highest(static_cast<std::size_t>(rows), 12.5F);
    const Twin global(b, DType::f32, 1, rows, {}, highest.data());
    const double start = 2;
    const double by = 0.5;
    const Twin total(b, DType::f64, 1, 1, {}, &start);
    const Twin counted(b, DType::f64, 1, 1, {}, &start);
    const Twin scale(b, DType::f64, 1, 1, {}, &by);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::SoftmaxLocal{.logits = on(logits),
                                                  .targets = flat(on(targets)),
                                                  .first_column = 2,
                                                  .max = flat(on(max)),
                                                  .sum = flat(on(sum)),
                                                  .picked = flat(on(picked)),
                                                  .smoothing = smoothed});
    });
    const double n = static_cast<double>(cols);
    BOOST_TEST(max.error(1e-300) == 0);
    BOOST_TEST(picked.error(smoothing > 0 ? 1e-4 * n : 1e-300) <= 0.01);
    BOOST_TEST(sum.error(2e-6 * std::sqrt(n)) <= 1);
    BOOST_TEST(logits.error(2e-6) <= 1);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::SoftmaxRescale{.global_max = flat(on(global)),
                                                    .targets = flat(on(targets)),
                                                    .first_column = 2,
                                                    .columns = cols,
                                                    .max = flat(on(max)),
                                                    .sum = flat(on(sum)),
                                                    .picked = flat(on(picked)),
                                                    .smoothing = smoothed});
      on.kernels.run(on.stream, ops::SoftmaxLoss{.sum = flat(on(sum)),
                                                 .picked = flat(on(picked)),
                                                 .targets = flat(on(targets)),
                                                 .total = flat(on(total)),
                                                 .counted = flat(on(counted))});
      on.kernels.run(on.stream, ops::SoftmaxGradient{.exponentials = on(logits),
                                                     .targets = flat(on(targets)),
                                                     .first_column = 2,
                                                     .factor = flat(on(max)),
                                                     .sum = flat(on(sum)),
                                                     .scale = 3,
                                                     .scale_too = flat(on(scale)),
                                                     .smoothing = smoothed});
    });
    BOOST_TEST(picked.error(smoothing > 0 ? 1e-4 * n : 1e-300) <= 0.01);
    BOOST_TEST(total.error(3e-6 * static_cast<double>(rows)) <= 1);
    BOOST_TEST(counted.error(1e-300) == 0);
    BOOST_TEST(logits.error(3 * std::max(rounding(type), 2e-6)) <= 1);
    return logits.gpu_bytes();
  });
}

void check_whole_softmax(Backends& b, DType type, std::int64_t rows, std::int64_t cols,
                         const Layout& layout) {
  twice([&] {
    const Twin targets = ids_of(b, rows, static_cast<int>(cols) + 5);
    const Twin logits(b, type, rows, cols, layout, 1, 12);
    const Twin max(b, DType::f32, 1, rows, {}, 0);
    const Twin sum(b, DType::f32, 1, rows, {}, 0);
    const Twin picked(b, DType::f32, 1, rows, {}, 0);
    const double start = 2;
    const double by = 0.5;
    const Twin total(b, DType::f64, 1, 1, {}, &start);
    const Twin counted(b, DType::f64, 1, 1, {}, &start);
    const Twin scale(b, DType::f64, 1, 1, {}, &by);
    on_both(b, [&](const Side& on) {
      on.kernels.run(on.stream, ops::SoftmaxLossGradient{.logits = on(logits),
                                                         .targets = flat(on(targets)),
                                                         .max = flat(on(max)),
                                                         .sum = flat(on(sum)),
                                                         .picked = flat(on(picked)),
                                                         .total = flat(on(total)),
                                                         .counted = flat(on(counted)),
                                                         .scale = 3,
                                                         .scale_too = flat(on(scale))});
    });
    BOOST_TEST(total.error(3e-6 * static_cast<double>(rows)) <= 1);
    BOOST_TEST(counted.error(1e-300) == 0);
    BOOST_TEST(logits.error(3 * std::max(rounding(type), 2e-6)) <= 1);
    return logits.gpu_bytes();
  });
}

/// f(type, layout, shape), its case named where it fails.
template <class F, class Shape, std::size_t N>
void in_all_shapes(const Shape (&shapes)[N], F&& f) {
  for_pairs(
      [&](DType type, const Layout& layout, const Shape& shape) {
        BOOST_TEST_CONTEXT(name_of(type) << " gap " << layout.gap << " offset " << layout.offset
                                         << " shape " << &shape - shapes) {
          f(type, layout, shape);
        }
      },
      kTypes, kLayouts, shapes);
}

}  // namespace

BOOST_AUTO_TEST_CASE(embeddings_have_the_cpu_s_bits) {
  Backends b;
  constexpr std::int64_t kShapes[][2] = {{1, 1}, {200, 24}, {130, 301}};  // ids, columns
  in_all_shapes(kShapes, [&](DType type, const Layout& layout, const auto& shape) {
    check_embedding(b, type, shape[0], shape[1], layout);
  });
  constexpr std::int64_t kColumns[] = {5, 24, 272};
  in_all_shapes(kColumns, [&](DType type, const Layout& layout, std::int64_t cols) {
    check_positions(b, type, cols, layout);
  });
}

BOOST_AUTO_TEST_CASE(long_runs_of_an_id_are_summed_by_pieces) {
  Backends b;
  std::vector<std::int32_t> equal(64 * 40 + 3, 7);  // more pieces than lanes
  std::vector<std::int32_t> frequent(1500);         // the k-th id as often as 1/k
  for (std::size_t i = 0; i < frequent.size(); ++i) {
    const auto x =
        static_cast<double>(i * 7919 % frequent.size()) / static_cast<double>(frequent.size());
    frequent[i] = static_cast<std::int32_t>(std::pow(60.0, x)) - 1;  // some are ≥ 50
  }
  std::vector<std::int32_t> cut;  // runs that end before, at and after multiples of kSegment
  for (const int length : {63, 1, 64, 65, 63, 128, 127, 1, 2, 190, 64}) {
    cut.insert(cut.end(), static_cast<std::size_t>(length),
               static_cast<std::int32_t>(cut.size() % 50));
  }
  for (const auto& ids : {equal, frequent, cut}) {
    check_gathered(b, DType::bf16, DType::f32, 40, {}, ids);
    check_gathered(b, DType::f32, DType::f32, 5, {0, 1}, ids);
    check_gathered(b, DType::f16, DType::f16, 264, {16, 0}, ids);
  }
  std::vector<std::int32_t> many(70000, 3);  // more than the kernel sorts at once
  many[69000] = many[100] = 4;
  check_gathered(b, DType::f32, DType::f32, 1, {}, many);
}

BOOST_AUTO_TEST_CASE(rotary_is_that_of_the_cpu) {
  Backends b;
  const std::pair<AttentionShape, std::int64_t> shapes[] = {
      {{2, 5, 3, 1, 32, 0}, 32}, {{1, 7, 2, 4, 32, 0}, 16}, {{2, 3, 5, 2, 10, 0}, 6}};
  in_all_shapes(shapes, [&](DType type, const Layout& layout, const auto& shape) {
    check_rotary(b, type, shape.first, shape.second, layout);
  });
}

BOOST_AUTO_TEST_CASE(the_whole_softmax_is_that_of_the_cpu) {
  Backends b;
  constexpr std::int64_t kShapes[][2] = {{3, 1}, {7, 29}, {5, 5003}};
  in_all_shapes(kShapes, [&](DType type, const Layout& layout, const auto& shape) {
    check_whole_softmax(b, type, shape[0], shape[1], layout);
  });
  check_whole_softmax(b, DType::bf16, 2, 50257, {0, 3});  // fits shared memory
  check_whole_softmax(b, DType::f32, 2, 50257, {});       // does not
}

BOOST_AUTO_TEST_CASE(the_cut_softmax_is_that_of_the_cpu) {
  Backends b;
  constexpr std::int64_t kShapes[][2] = {{3, 1}, {7, 29}, {5, 5003}};
  in_all_shapes(kShapes, [&](DType type, const Layout& layout, const auto& shape) {
    check_softmax(b, type, shape[0], shape[1], layout);
  });
  // With the kernel's own shared memory just over what needs no permission, as halves.
  check_softmax(b, DType::bf16, 1, 24540, {});
  for (const DType type : {DType::f32, DType::f16}) {
    check_softmax(b, type, 2, 50257, {});  // fits shared memory as halves
  }
  check_softmax(b, DType::bf16, 1, 70001, {});  // fits in no type
  for (const DType type : {DType::f32, DType::bf16}) check_softmax(b, type, 5, 301, {}, 0.1);
}
