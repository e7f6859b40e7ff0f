// SPDX-License-Identifier: Apache-2.0
// Tiled attention against whole score matrices, forward and backward, with and without dropout.
#include "trireme/ops/attention.hpp"

#include <array>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/ops/alibi.hpp"

#include "attention_cases.hpp"

namespace trireme::test {

BOOST_AUTO_TEST_SUITE(attention)

BOOST_AUTO_TEST_CASE(equals_whole_score_matrices) {
  for_all_shapes([](const AttentionShape& a) {
    for (const DType type : {DType::f32, DType::f64}) {
      const Run run(type, a, 2);
      run.forward();
      run.backward();
      const Reference expected = reference(run);
      const double bound = type == DType::f64 ? 1e-12 : 5e-6;
      BOOST_TEST(relative_error(run.out, expected.out) < bound);
      BOOST_TEST(relative_error(run.lse, expected.lse) < bound);
      BOOST_TEST(relative_error(run.dqkv, expected.dqkv) < bound);
    }
  });
}

BOOST_AUTO_TEST_CASE(equals_whole_score_matrices_under_dropout) {
  for_all_shapes([](const AttentionShape& a) {
    const Masks masks = observed_masks(a, kDropout);
    for (const DType type : {DType::f32, DType::f64}) {
      const Run run(type, a, 2);
      run.forward(kDropout);
      run.backward(kDropout);
      const Reference expected = reference(run, masks);
      const double bound = type == DType::f64 ? 1e-12 : 5e-6;
      BOOST_TEST(relative_error(run.out, expected.out) <= bound);
      BOOST_TEST(relative_error(run.lse, expected.lse) <= bound);
      BOOST_TEST(relative_error(run.dqkv, expected.dqkv) <= bound);
    }
  });
}

BOOST_AUTO_TEST_CASE(ends_at_documents) {
  for_all_shapes([](const AttentionShape& a) {
    for (const DType type : {DType::f32, DType::f64}) {
      Run run(type, a, 2);
      run.first_keys = cpu().make(DType::i32, Shape{a.batch * a.seq});
      for (std::int64_t r = 0, first = 0, length = 1; r < a.batch * a.seq; ++r) {
        const std::int64_t i = r % a.seq;
        if (i == 0) first = 0;
        if (i == first + length) {
          first = i;
          length = length * 2 % 61 + 1;
        }
        run.first_keys.data<std::int32_t>()[r] = static_cast<std::int32_t>(first);
      }
      run.forward();
      run.backward();
      const Reference expected = reference(run);
      const double bound = type == DType::f64 ? 1e-12 : 5e-6;
      BOOST_TEST(relative_error(run.out, expected.out) < bound);
      BOOST_TEST(relative_error(run.lse, expected.lse) < bound);
      BOOST_TEST(relative_error(run.dqkv, expected.dqkv) < bound);
    }
  });
}

BOOST_AUTO_TEST_CASE(scores_follow_their_rule) {
  for_all_shapes([](const AttentionShape& shape) {
    const ScoreRule rules[] = {{.scale = 0.3},
                               {.window = 1},
                               {.window = 9},
                               {.window = 64},
                               {.softcap = 1.5},
                               {.softcap = 2, .window = 70},
                               {.window = 5, .alibi_heads = 16}};
    for (const ScoreRule& rule : rules) {
      AttentionShape a = shape;
      a.first_head = 3;
      Run run(DType::f64, a, 2);
      run.rule = rule;
      run.forward();
      run.backward();
      const Reference expected = reference(run);
      BOOST_TEST(relative_error(run.out, expected.out) < 1e-12);
      BOOST_TEST(relative_error(run.lse, expected.lse) < 1e-12);
      BOOST_TEST(relative_error(run.dqkv, expected.dqkv) < 1e-12);
    }
  });
}

/// A window has no tile of keys outside of it: unread keys may be anything.
BOOST_AUTO_TEST_CASE(keys_before_a_window_are_not_read) {
  Run run(DType::f32, shape_of(260, 8, 2, 2, 1));
  run.rule.window = 3;
  run.forward();
  run.backward();
  const Host out = host(run.out);
  const Host dqkv = host(run.dqkv);
  assign(run.qkv.view().slice_rows(0, 64),
         Host::Constant(64, run.qkv.cols(), std::numeric_limits<double>::quiet_NaN()));
  run.forward();
  run.backward();
  BOOST_TEST((host(run.out) - out).bottomRows(132).isZero(0));
  BOOST_TEST((host(run.dqkv) - dqkv).bottomRows(132).isZero(0));
}

BOOST_AUTO_TEST_CASE(slopes_of_alibi_are_the_published_ones) {
  for (int h = 0; h < 8; ++h) BOOST_TEST(alibi_slope(h, 8) == std::exp2(-1.0 - h));
  BOOST_TEST(alibi_slope(0, 3) == 0x1p-4);
  BOOST_TEST(alibi_slope(1, 3) == 0x1p-8);
  BOOST_TEST(alibi_slope(2, 3) == 0x1p-2);
}

BOOST_AUTO_TEST_CASE(gradients) {
  for_all_shapes([](const AttentionShape& a) {
    for (const Dropout& d : {Dropout{}, kDropout}) {
      const Run run(DType::f64, a, 2);
      run.forward(d);
      run.backward(d);
      const auto loss = [&] {
        run.forward(d);
        return inner(run.out, run.dout);
      };
      BOOST_TEST(gradient_error(run.qkv, run.dqkv, loss, 20) < 1e-7);
    }
  });
}

BOOST_AUTO_TEST_CASE(large_scores_stay_finite) {
  const Run run(DType::f32, shape_of(130, 20, 2, 1), 100);
  run.forward();
  run.backward();
  const Reference expected = reference(run);
  BOOST_TEST(relative_error(run.out, expected.out) < 1e-3);
  BOOST_TEST(relative_error(run.lse, expected.lse) < 1e-5);
  BOOST_TEST(host(run.dqkv).allFinite());
}

BOOST_AUTO_TEST_CASE(the_future_does_not_matter) {
  const Run run(DType::f32, shape_of(130, 8, 2, 2, 1));
  run.forward(kDropout);
  const Tensor before = clone(run.out);
  for (const std::int64_t from : {1, 64, 65, 129}) {
    const View later = run.qkv.view().slice_rows(from, 130 - from);
    const Host kept = host(later);
    assign(later, 3 * kept);
    run.forward(kDropout);
    BOOST_TEST(
        same_bits(run.out.view().slice_rows(0, from), before.view().slice_rows(0, from)));
    assign(later, kept);
  }
}

BOOST_AUTO_TEST_CASE(dropout_masks_follow_their_definition) {
  AttentionShape a = shape_of(130, 64, 2, 2);
  a.first_head = 3;
  const Masks masks = observed_masks(a, kDropout);
  for (std::int64_t b = 0; b < a.batch; ++b) {
    for (std::int64_t head = 0; head < a.heads(); ++head) {
      const Host& mask = masks[static_cast<std::size_t>(b * a.heads() + head)];
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < a.seq; ++i) {
        for (std::int64_t j = 0; j <= i; ++j) {
          const auto row = kDropout.first_row + static_cast<std::uint64_t>(b * a.seq + i);
          const auto word =
              philox(kDropout.key, row,
                     static_cast<std::uint32_t>((a.first_head + head) * 33 + j / 4));
          const bool kept = word[static_cast<std::size_t>(j % 4)] >= 0.3 * 0x1p32;
          if (std::abs(mask(i, j) - (kept ? 1 / 0.7 : 0)) > 1e-12) ++wrong;
        }
      }
      BOOST_TEST(wrong == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(dropout_masks_are_bernoulli_and_all_different) {
  const Masks masks = observed_masks(shape_of(130, 64, 2, 2), kDropout);
  double kept = 0;
  double n = 0;
  for (const Host& mask : masks) {
    for (std::int64_t i = 0; i < mask.rows(); ++i) {
      for (std::int64_t j = 0; j < mask.cols(); ++j) {
        const bool on = std::abs(mask(i, j) - 1 / 0.7) < 1e-12;
        // exp(−∞) of the masked future may be the smallest number in place of 0.
        if (!on) BOOST_REQUIRE(std::abs(mask(i, j)) < 1e-300);
        if (j <= i) n += 1;
        if (on) kept += 1;
      }
    }
  }
  BOOST_TEST(std::abs(kept - 0.7 * n) < 5 * std::sqrt(n * 0.7 * 0.3));
  const auto agreement = [](const Host& a, const Host& b) {
    const Host both = ((a.array() != 0) == (b.array() != 0)).cast<double>();
    return both.bottomLeftCorner(60, 60).mean();
  };
  for (std::size_t i = 0; i < masks.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      BOOST_TEST(std::abs(agreement(masks[i], masks[j]) - (0.49 + 0.09)) < 0.05);
    }
  }
  const Masks other = observed_masks(shape_of(130, 64, 2, 2), {0.3, {77, 6}, 1000});
  BOOST_TEST(std::abs(agreement(masks[0], other[0]) - (0.49 + 0.09)) < 0.05);
}

BOOST_AUTO_TEST_CASE(a_part_of_the_heads_or_sequences_has_the_same_masks) {
  AttentionShape a = shape_of(66, 8, 3, 2, 3);
  const Run whole(DType::f32, a);
  whole.forward(kDropout);
  whole.backward(kDropout);
  a.kv_heads = 2;  // the last two groups: query heads 2 to 5
  a.first_head = 2;
  a.batch = 2;  // the last two sequences
  Dropout later = kDropout;
  later.first_row += 66;
  const Run part(DType::f32, a);
  const auto cut = [&](const Tensor& t) {
    const std::int64_t width = t.cols() / 3;
    return t.view().slice_rows(66, 132).slice_cols(width, 2 * width);
  };
  assign(part.qkv, host(cut(whole.qkv)));
  assign(part.dout, host(cut(whole.dout)));
  part.forward(later);
  part.backward(later);
  BOOST_TEST(same_bits(part.out, cut(whole.out)));
  BOOST_TEST(same_bits(part.dqkv, cut(whole.dqkv)));
}

BOOST_AUTO_TEST_CASE(windows_with_wide_rows) {
  const Run run(DType::f64, shape_of(65, 8, 2, 1));
  run.forward();
  run.backward();
  const auto widened = [](const Tensor& t) {
    Tensor wide = filled(DType::f64, Shape{t.rows(), t.cols() + 7}, 777);
    assign(wide.view().slice_cols(3, t.cols()), host(t));
    return wide;
  };
  const auto window = [](const Tensor& wide) {
    return wide.view().slice_cols(3, wide.cols() - 7);
  };
  const Tensor qkv = widened(run.qkv);
  const Tensor dout = widened(run.dout);
  const Tensor out = widened(poisoned(DType::f64, run.out.shape()));
  const Tensor dqkv = widened(poisoned(DType::f64, run.qkv.shape()));
  ops::attention_forward(
      cpu(), {.shape = run.shape, .qkv = window(qkv), .out = window(out), .lse = run.lse});
  ops::attention_backward(cpu(), {.shape = run.shape,
                                  .dout = window(dout),
                                  .qkv = window(qkv),
                                  .out = window(out),
                                  .lse = run.lse,
                                  .dqkv = window(dqkv)});
  BOOST_TEST(relative_error(out, host(widened(run.out))) < 1e-14);
  BOOST_TEST(relative_error(dqkv, host(widened(run.dqkv))) < 1e-14);
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  for (const Dropout& d : {Dropout{}, kDropout}) {
    for (const auto& group : kGroups) {
      const Run run(DType::f32, shape_of(130, 20, group[0], group[1]));
      BOOST_TEST(same_on_any_threads([&] {
        run.forward(d);
        return clone(run.out);
      }));
      BOOST_TEST(same_on_any_threads([&] {
        run.backward(d);
        return clone(run.dqkv);
      }));
    }
  }
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const AttentionShape a = shape_of(4, 8, 2, 2);
  const Run run(DType::f32, a);
  const Run twice(DType::f64, a);
  const auto fails = [&](const View& qkv, const View& out, const View& lse, const View& dqkv) {
    if (dqkv.raw() == run.dqkv.view().raw()) {
      BOOST_CHECK_THROW(
          ops::attention_forward(cpu(), {.shape = a, .qkv = qkv, .out = out, .lse = lse}),
          Error);
    }
    BOOST_CHECK_THROW(
        ops::attention_backward(
            cpu(),
            {.shape = a, .dout = run.dout, .qkv = qkv, .out = out, .lse = lse, .dqkv = dqkv}),
        Error);
  };
  const View qkv = run.qkv;
  const View out = run.out;
  const View lse = run.lse;
  const View dqkv = run.dqkv;
  fails(qkv.slice_rows(0, 7), out, lse, dqkv);
  fails(qkv.slice_cols(0, 63), out, lse, dqkv);
  fails(twice.qkv, out, lse, dqkv);
  fails(qkv, out.slice_cols(0, 24), lse, dqkv);
  fails(qkv, twice.out, lse, dqkv);
  fails(qkv, out, lse.slice_rows(0, 3), dqkv);
  fails(qkv, out, twice.lse, dqkv);
  fails(qkv, out, lse, twice.dqkv);
  const Tensor wide = random(DType::f32, Shape{64, 4}, "dqkv");
  fails(qkv, out, lse, wide);
  const auto drop = [&](double p) { run.forward({p, {}, 0}); };
  BOOST_CHECK_THROW(drop(1.0), Error);
  BOOST_CHECK_THROW(drop(-0.5), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
