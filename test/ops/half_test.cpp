// SPDX-License-Identifier: Apache-2.0
// Operations on half types beside the same in fp64: each result is rounded once.
#include "half.hpp"

#include <boost/test/unit_test.hpp>

#include "trireme/ops/activation.hpp"
#include "trireme/ops/attention.hpp"
#include "trireme/ops/cross_entropy.hpp"
#include "trireme/ops/embedding.hpp"
#include "trireme/ops/norm.hpp"

namespace trireme::test {
namespace {

constexpr std::array<std::array<std::int64_t, 2>, 4> kSizes = {
    {{1, 1}, {3, 5}, {7, 257}, {130, 65}}};

template <class F>
void for_half_types(F&& f) {
  for (const DType type : kHalves) {
    for (const auto& [rows, cols] : kSizes) {
      BOOST_TEST_CONTEXT(name_of(type) << " " << rows << " × " << cols) {
        f(type, rows, cols);
        BOOST_TEST(Windows::untouched());
      }
    }
  }
}

Tensor ids_of(std::int64_t n, std::int64_t below) {
  Tensor ids = cpu().make(DType::i32, Shape{n});
  for (std::int64_t i = 0; i < n; ++i) {
    ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(i * i % below);
  }
  return ids;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(half)

BOOST_AUTO_TEST_CASE(norms) {
  const auto run = [](Norm kind, DType type, DType grad, std::int64_t n, std::int64_t h) {
    const View x = Windows::random(type, n, h, "x", 2);
    const Tensor w = random(type, Shape{h}, "weight");
    const Tensor b = random(type, Shape{h}, "bias");
    const View y = Windows::poisoned(type, n, h);
    const Tensor statistics = poisoned(DType::f32, Shape{n, 2});
    const Tensor y64 = poisoned(DType::f64, Shape{n, h});
    const Tensor statistics64 = poisoned(DType::f64, Shape{n, 2});
    ops::norm_forward(cpu(), {.kind = kind,
                              .epsilon = 1e-5,
                              .x = x,
                              .weight = w,
                              .bias = b,
                              .y = y,
                              .statistics = statistics});
    ops::norm_forward(cpu(), {.kind = kind,
                              .epsilon = 1e-5,
                              .x = as_f64(x),
                              .weight = as_f64(w),
                              .bias = as_f64(b),
                              .y = y64,
                              .statistics = statistics64});
    BOOST_TEST(relative_error(y, host(y64)) < rounding(type));
    BOOST_TEST(relative_error(statistics, host(statistics64)) < 1e-5);
    const View dy = Windows::random(type, n, h, "dy");
    const View dx = Windows::random(type, n, h, "add");  // dx is `add`
    const Tensor dw = random(grad, Shape{h}, "dw");
    const Tensor db = random(grad, Shape{h}, "db");
    const Tensor dx64 = as_f64(dx);
    const Tensor dw64 = as_f64(dw);
    const Tensor db64 = as_f64(db);
    ops::norm_backward(cpu(), {.kind = kind,
                               .dy = dy,
                               .x = x,
                               .weight = w,
                               .statistics = statistics,
                               .add = dx,
                               .dx = dx,
                               .dweight = dw,
                               .dbias = db});
    ops::norm_backward(cpu(), {.kind = kind,
                               .dy = as_f64(dy),
                               .x = as_f64(x),
                               .weight = as_f64(w),
                               .statistics = as_f64(statistics),
                               .add = dx64,
                               .dx = dx64,
                               .dweight = dw64,
                               .dbias = db64});
    BOOST_TEST(relative_error(dx, host(dx64)) < rounding(type));
    BOOST_TEST(relative_error(dw, host(dw64)) < rounding(grad));
    BOOST_TEST(relative_error(db, host(db64)) < rounding(grad));
  };
  for_half_types([&](DType type, std::int64_t n, std::int64_t h) {
    for (const Norm kind : {Norm::layernorm, Norm::rmsnorm}) {
      for (const DType grad : {type, DType::f32}) run(kind, type, grad, n, h);
    }
  });
}

BOOST_AUTO_TEST_CASE(activations) {
  for_half_types([](DType type, std::int64_t n, std::int64_t h) {
    for (const Activation kind : {Activation::gelu, Activation::gelu_tanh, Activation::relu,
                                  Activation::silu, Activation::swiglu, Activation::geglu}) {
      const std::int64_t width = gated(kind) ? 2 * h : h;
      const View x = Windows::random(type, n, width, "x", 3);
      const View dy = Windows::random(type, n, h, "dy");
      const View y = Windows::poisoned(type, n, h);
      const Tensor x64 = as_f64(x);
      const Tensor y64 = poisoned(DType::f64, Shape{n, h});
      ops::activation_forward(cpu(), {.kind = kind, .x = x, .y = y});
      ops::activation_forward(cpu(), {.kind = kind, .x = x64, .y = y64});
      BOOST_TEST(relative_error(y, host(y64)) < rounding(type));
      ops::activation_backward(cpu(), {.kind = kind, .x = x, .dy = dy, .dx = x});
      ops::activation_backward(cpu(), {.kind = kind, .x = x64, .dy = as_f64(dy), .dx = x64});
      BOOST_TEST(relative_error(x, host(x64)) < rounding(type));
    }
  });
}

BOOST_AUTO_TEST_CASE(attention_and_its_gradient) {
  for (const DType type : kHalves) {
    for (const AttentionShape& a :
         {AttentionShape{1, 1, 1, 1, 3, 0}, {2, 65, 2, 2, 8, 0}, {1, 130, 3, 1, 20, 0}}) {
      for (const Dropout& d : {Dropout{}, Dropout{0.3, {77, 5}, 1000}}) {
        const std::int64_t rows = a.batch * a.seq;
        const std::int64_t width = a.heads() * a.head_dim;
        const View qkv = Windows::random(type, rows, a.row_width(), "qkv", 2);
        const View dout = Windows::random(type, rows, width, "dout");
        const View out = Windows::poisoned(type, rows, width);
        const View dqkv = Windows::poisoned(type, rows, a.row_width());
        const Tensor lse = poisoned(DType::f32, Shape{a.batch, a.heads(), a.seq});
        const Tensor out64 = poisoned(DType::f64, Shape{rows, width});
        const Tensor lse64 = poisoned(DType::f64, lse.shape());
        const Tensor dqkv64 = poisoned(DType::f64, Shape{rows, a.row_width()});
        ops::attention_forward(cpu(),
                               {.shape = a, .dropout = d, .qkv = qkv, .out = out, .lse = lse});
        ops::attention_forward(
            cpu(), {.shape = a, .dropout = d, .qkv = as_f64(qkv), .out = out64, .lse = lse64});
        BOOST_TEST(relative_error(out, host(out64)) < rounding(type));
        BOOST_TEST(relative_error(lse, host(lse64)) < 1e-5);
        ops::attention_backward(cpu(), {.shape = a,
                                        .dropout = d,
                                        .dout = dout,
                                        .qkv = qkv,
                                        .out = out,
                                        .lse = lse,
                                        .dqkv = dqkv});
        ops::attention_backward(cpu(), {.shape = a,
                                        .dropout = d,
                                        .dout = as_f64(dout),
                                        .qkv = as_f64(qkv),
                                        .out = as_f64(out),
                                        .lse = as_f64(lse),
                                        .dqkv = dqkv64});
        BOOST_TEST(relative_error(dqkv, host(dqkv64)) < rounding(type));
        BOOST_TEST(Windows::untouched());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(rotation) {
  const AttentionShape a{2, 7, 2, 3, 20, 0};
  for (const DType type : kHalves) {
    for (const std::int64_t dim : {2, 6, 20}) {
      const Tensor table =
          ops::rotary_table(cpu(), {.dtype = type, .seq = 9, .rotary_dim = dim, .base = 100});
      BOOST_TEST((table.dtype() == DType::f32));
      const View x = Windows::random(type, 14, a.row_width(), "x");
      const Tensor x64 = as_f64(x);
      ops::rotary(cpu(), {.shape = a, .qkv = x, .table = table, .inverse = true});
      ops::rotary(cpu(), {.shape = a, .qkv = x64, .table = as_f64(table), .inverse = true});
      BOOST_TEST(relative_error(x, host(x64)) < rounding(type));
      BOOST_TEST(Windows::untouched());
    }
  }
}

BOOST_AUTO_TEST_CASE(tables) {
  for_half_types([](DType type, std::int64_t n, std::int64_t h) {
    const View table = Windows::random(type, n, h, "table");
    const Tensor ids = ids_of(40, 2 * n);
    const View y = Windows::poisoned(type, 40, h);
    const Tensor y64 = poisoned(DType::f64, Shape{40, h});
    ops::embedding_forward(cpu(), {.ids = ids, .table = table, .first_row = 1, .y = y});
    ops::embedding_forward(cpu(),
                           {.ids = ids, .table = as_f64(table), .first_row = 1, .y = y64});
    BOOST_TEST((host(y) == host(y64)));
    ops::positions_forward(cpu(), {.table = table, .seq = n, .first_row = 3, .y = y});
    ops::positions_forward(cpu(), {.table = as_f64(table), .seq = n, .first_row = 3, .y = y64});
    BOOST_TEST(relative_error(y, host(y64)) < rounding(type));
    for (const DType grad : {type, DType::f32}) {
      const View dtable = Windows::random(grad, n, h, "dtable");
      const Tensor dtable64 = as_f64(dtable);
      ops::embedding_backward(cpu(), {.ids = ids, .dy = y, .first_row = 1, .dtable = dtable});
      ops::positions_backward(cpu(), {.dy = y, .seq = n, .first_row = 3, .dtable = dtable});
      ops::embedding_backward(
          cpu(), {.ids = ids, .dy = as_f64(y), .first_row = 1, .dtable = dtable64});
      ops::positions_backward(cpu(),
                              {.dy = as_f64(y), .seq = n, .first_row = 3, .dtable = dtable64});
      // In a half type each of up to 80 additions rounds.
      BOOST_TEST(relative_error(dtable, host(dtable64)) <
                 (grad == type ? 40 : 1) * rounding(grad));
    }
  });
}

BOOST_AUTO_TEST_CASE(cross_entropy) {
  for (const DType type : kHalves) {
    for (const auto& [n, v] : {std::array<std::int64_t, 2>{1, 1}, {3, 5}, {9, 5003}}) {
      const View z = Windows::random(type, n, v, "z", 4);
      const Tensor z64 = as_f64(z);
      const Tensor targets = ids_of(n, v);
      const auto run = [&, rows = n](const View& logits, DType sums) {
        const std::array<Tensor, 3> kept = {poisoned(sums, Shape{rows}),
                                            poisoned(sums, Shape{rows}),
                                            poisoned(sums, Shape{rows})};
        ops::softmax_local(cpu(), {.logits = logits,
                                   .targets = targets,
                                   .first_column = 0,
                                   .max = kept[0],
                                   .sum = kept[1],
                                   .picked = kept[2]});
        return kept;
      };
      const auto kept = run(z, DType::f32);
      const auto kept64 = run(z64, DType::f64);
      BOOST_TEST(relative_error(z, host(z64)) < rounding(type));
      // Of the exponentials before they were rounded.
      for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(relative_error(kept[i], host(kept64[i])) < 1e-5);
      }
      const Tensor from64 = as_f64(z);
      const Tensor factor = filled(DType::f32, Shape{n}, 0.7);
      ops::softmax_gradient(cpu(), {.exponentials = z,
                                    .targets = targets,
                                    .first_column = 0,
                                    .factor = factor,
                                    .sum = kept[1],
                                    .scale = 50});
      ops::softmax_gradient(cpu(), {.exponentials = from64,
                                    .targets = targets,
                                    .first_column = 0,
                                    .factor = as_f64(factor),
                                    .sum = as_f64(kept[1]),
                                    .scale = 50});
      BOOST_TEST(relative_error(z, host(from64)) < rounding(type));
      BOOST_TEST(Windows::untouched());
    }
  }
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const AttentionShape a{2, 130, 2, 2, 16, 0};
  const Tensor qkv = random(DType::bf16, Shape{260, a.row_width()}, "qkv");
  const Tensor out = random(DType::bf16, Shape{260, 64}, "out");
  BOOST_TEST(same_on_any_threads([&] {
    const Tensor o = poisoned(DType::bf16, out.shape());
    const Tensor lse = poisoned(DType::f32, Shape{2, 4, 130});
    Tensor dqkv = poisoned(DType::bf16, qkv.shape());
    ops::attention_forward(cpu(), {.shape = a, .qkv = qkv, .out = o, .lse = lse});
    ops::attention_backward(
        cpu(), {.shape = a, .dout = out, .qkv = qkv, .out = o, .lse = lse, .dqkv = dqkv});
    return dqkv;
  }));
  BOOST_TEST(same_on_any_threads([&] {
    Tensor dtable = filled(DType::bf16, Shape{30, 64}, 0);
    ops::embedding_backward(
        cpu(), {.ids = ids_of(260, 40), .dy = out, .first_row = 0, .dtable = dtable});
    return dtable;
  }));
}

BOOST_AUTO_TEST_CASE(refuses_other_types) {
  const auto make = [](DType t, Shape s) { return random(t, s, "x"); };
  const Tensor x = make(DType::bf16, {4, 6});
  const Tensor w = make(DType::bf16, {6});
  const Tensor kept = make(DType::f32, {4, 2});
  const Tensor half_kept = make(DType::bf16, {4, 2});
  const auto forward = [&](const Tensor& weight, const Tensor& y, const Tensor& statistics) {
    ops::norm_forward(cpu(), {.kind = Norm::layernorm,
                              .epsilon = 1e-5,
                              .x = x,
                              .weight = weight,
                              .y = y,
                              .statistics = statistics});
  };
  BOOST_CHECK_THROW(forward(make(DType::f32, {6}), x, kept), Error);
  BOOST_CHECK_THROW(forward(w, make(DType::f32, {4, 6}), kept), Error);
  BOOST_CHECK_THROW(forward(w, x, half_kept), Error);
  const auto backward = [&](const Tensor& statistics, DType grad) {
    ops::norm_backward(cpu(), {.kind = Norm::layernorm,
                               .dy = x,
                               .x = x,
                               .weight = w,
                               .statistics = statistics,
                               .dx = make(DType::bf16, {4, 6}),
                               .dweight = make(grad, {6})});
  };
  BOOST_CHECK_THROW(backward(half_kept, DType::f32), Error);
  BOOST_CHECK_THROW(backward(kept, DType::f16), Error);
  BOOST_CHECK_THROW(backward(kept, DType::f64), Error);
  BOOST_CHECK_THROW(
      ops::activation_forward(
          cpu(), {.kind = Activation::gelu, .x = x, .y = make(DType::f32, {4, 6})}),
      Error);
}

BOOST_AUTO_TEST_CASE(refuses_other_types_in_attention_and_embeddings) {
  const auto make = [](DType t, Shape s) { return random(t, s, "x"); };
  const Tensor x = make(DType::bf16, {4, 6});
  const AttentionShape a{1, 4, 1, 1, 2, 0};
  const Tensor out = make(DType::bf16, {4, 2});
  BOOST_CHECK_THROW(
      ops::attention_forward(
          cpu(), {.shape = a, .qkv = x, .out = out, .lse = make(DType::bf16, {1, 1, 4})}),
      Error);
  BOOST_CHECK_THROW(
      ops::rotary(cpu(), {.shape = a, .qkv = x, .table = make(DType::bf16, {4, 2})}), Error);
  BOOST_CHECK_THROW(
      ops::embedding_backward(
          cpu(),
          {.ids = ids_of(4, 3), .dy = x, .first_row = 0, .dtable = make(DType::f16, {9, 6})}),
      Error);
  BOOST_CHECK_THROW(
      ops::positions_backward(
          cpu(), {.dy = x, .seq = 4, .first_row = 0, .dtable = make(DType::f64, {4, 6})}),
      Error);
}

BOOST_AUTO_TEST_CASE(refuses_other_types_in_cross_entropy) {
  const auto make = [](DType t, Shape s) { return random(t, s, "x"); };
  const Tensor x = make(DType::bf16, {4, 6});
  const Tensor sum = make(DType::f32, {4});
  const Tensor half_sum = make(DType::bf16, {4});
  const auto softmax = [&](const Tensor& max, const Tensor& picked) {
    ops::softmax_local(cpu(), {.logits = x,
                               .targets = ids_of(4, 6),
                               .first_column = 0,
                               .max = max,
                               .sum = sum,
                               .picked = picked});
  };
  BOOST_CHECK_THROW(softmax(half_sum, sum), Error);
  BOOST_CHECK_THROW(softmax(sum, half_sum), Error);
  BOOST_CHECK_THROW(ops::softmax_gradient(cpu(), {.exponentials = x,
                                                  .targets = ids_of(4, 6),
                                                  .first_column = 0,
                                                  .factor = half_sum,
                                                  .sum = sum,
                                                  .scale = 1}),
                    Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
