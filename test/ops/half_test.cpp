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
    ops::norm_forward(cpu(), kind, 1e-5, x, w, b, y, statistics);
    ops::norm_forward(cpu(), kind, 1e-5, as_f64(x), as_f64(w), as_f64(b), y64, statistics64);
    BOOST_TEST(relative_error(y, host(y64)) < rounding(type));
    BOOST_TEST(relative_error(statistics, host(statistics64)) < 1e-5);
    const View dy = Windows::random(type, n, h, "dy");
    const View dx = Windows::random(type, n, h, "add");  // dx is `add`
    const Tensor dw = random(grad, Shape{h}, "dw");
    const Tensor db = random(grad, Shape{h}, "db");
    const Tensor dx64 = as_f64(dx);
    const Tensor dw64 = as_f64(dw);
    const Tensor db64 = as_f64(db);
    ops::norm_backward(cpu(), kind, dy, x, w, statistics, dx, dx, dw, db);
    ops::norm_backward(cpu(), kind, as_f64(dy), as_f64(x), as_f64(w), as_f64(statistics), dx64,
                       dx64, dw64, db64);
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
      ops::activation_forward(cpu(), kind, x, y);
      ops::activation_forward(cpu(), kind, x64, y64);
      BOOST_TEST(relative_error(y, host(y64)) < rounding(type));
      ops::activation_backward(cpu(), kind, x, dy, x);
      ops::activation_backward(cpu(), kind, x64, as_f64(dy), x64);
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
        ops::attention_forward(cpu(), qkv, a, d, out, lse);
        ops::attention_forward(cpu(), as_f64(qkv), a, d, out64, lse64);
        BOOST_TEST(relative_error(out, host(out64)) < rounding(type));
        BOOST_TEST(relative_error(lse, host(lse64)) < 1e-5);
        ops::attention_backward(cpu(), dout, qkv, out, lse, a, d, dqkv);
        ops::attention_backward(cpu(), as_f64(dout), as_f64(qkv), as_f64(out), as_f64(lse), a,
                                d, dqkv64);
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
      const Tensor table = ops::rotary_table(cpu(), type, 9, dim, 100);
      BOOST_TEST((table.dtype() == DType::f32));
      const View x = Windows::random(type, 14, a.row_width(), "x");
      const Tensor x64 = as_f64(x);
      ops::rotary(cpu(), x, a, table, true);
      ops::rotary(cpu(), x64, a, as_f64(table), true);
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
    ops::embedding_forward(cpu(), ids, table, 1, y);
    ops::embedding_forward(cpu(), ids, as_f64(table), 1, y64);
    BOOST_TEST((host(y) == host(y64)));
    ops::positions_forward(cpu(), table, n, 3, y);
    ops::positions_forward(cpu(), as_f64(table), n, 3, y64);
    BOOST_TEST(relative_error(y, host(y64)) < rounding(type));
    for (const DType grad : {type, DType::f32}) {
      const View dtable = Windows::random(grad, n, h, "dtable");
      const Tensor dtable64 = as_f64(dtable);
      ops::embedding_backward(cpu(), ids, y, 1, dtable);
      ops::positions_backward(cpu(), y, n, 3, dtable);
      ops::embedding_backward(cpu(), ids, as_f64(y), 1, dtable64);
      ops::positions_backward(cpu(), as_f64(y), n, 3, dtable64);
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
        ops::softmax_local(cpu(), logits, targets, 0, kept[0], kept[1], kept[2]);
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
      ops::softmax_gradient(cpu(), z, targets, 0, factor, kept[1], 50);
      ops::softmax_gradient(cpu(), from64, targets, 0, as_f64(factor), as_f64(kept[1]), 50);
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
    ops::attention_forward(cpu(), qkv, a, {}, o, lse);
    ops::attention_backward(cpu(), out, qkv, o, lse, a, {}, dqkv);
    return dqkv;
  }));
  BOOST_TEST(same_on_any_threads([&] {
    Tensor dtable = filled(DType::bf16, Shape{30, 64}, 0);
    ops::embedding_backward(cpu(), ids_of(260, 40), out, 0, dtable);
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
    ops::norm_forward(cpu(), Norm::layernorm, 1e-5, x, weight, {}, y, statistics);
  };
  BOOST_CHECK_THROW(forward(make(DType::f32, {6}), x, kept), Error);
  BOOST_CHECK_THROW(forward(w, make(DType::f32, {4, 6}), kept), Error);
  BOOST_CHECK_THROW(forward(w, x, half_kept), Error);
  const auto backward = [&](const Tensor& statistics, DType grad) {
    ops::norm_backward(cpu(), Norm::layernorm, x, x, w, statistics, {},
                       make(DType::bf16, {4, 6}), make(grad, {6}), {});
  };
  BOOST_CHECK_THROW(backward(half_kept, DType::f32), Error);
  BOOST_CHECK_THROW(backward(kept, DType::f16), Error);
  BOOST_CHECK_THROW(backward(kept, DType::f64), Error);
  BOOST_CHECK_THROW(
      ops::activation_forward(cpu(), Activation::gelu, x, make(DType::f32, {4, 6})), Error);
  const AttentionShape a{1, 4, 1, 1, 2, 0};
  const Tensor out = make(DType::bf16, {4, 2});
  BOOST_CHECK_THROW(ops::attention_forward(cpu(), x, a, {}, out, make(DType::bf16, {1, 1, 4})),
                    Error);
  BOOST_CHECK_THROW(ops::rotary(cpu(), x, a, make(DType::bf16, {4, 2}), false), Error);
  BOOST_CHECK_THROW(
      ops::embedding_backward(cpu(), ids_of(4, 3), x, 0, make(DType::f16, {9, 6})), Error);
  BOOST_CHECK_THROW(ops::positions_backward(cpu(), x, 4, 0, make(DType::f64, {4, 6})), Error);
  const Tensor sum = make(DType::f32, {4});
  const Tensor half_sum = make(DType::bf16, {4});
  const auto softmax = [&](const Tensor& max, const Tensor& picked) {
    ops::softmax_local(cpu(), x, ids_of(4, 6), 0, max, sum, picked);
  };
  BOOST_CHECK_THROW(softmax(half_sum, sum), Error);
  BOOST_CHECK_THROW(softmax(sum, half_sum), Error);
  BOOST_CHECK_THROW(ops::softmax_gradient(cpu(), x, ids_of(4, 6), 0, half_sum, sum, 1), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
