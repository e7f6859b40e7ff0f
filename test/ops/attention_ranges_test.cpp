// SPDX-License-Identifier: Apache-2.0
// Attention to later keys, and to those of segments alone, against whole score matrices.
#include <limits>

#include <boost/test/unit_test.hpp>

#include "attention_cases.hpp"

namespace trireme::test {

BOOST_AUTO_TEST_SUITE(attention_ranges)

/// The results equal those of whole score matrices.
void require_equal_to_reference(const Run& run, const Masks& masks = {}) {
  const Reference expected = reference(run, masks);
  const double bound = run.qkv.dtype() == DType::f64 ? 1e-12 : 5e-6;
  BOOST_TEST(relative_error(run.out, expected.out) < bound);
  BOOST_TEST(relative_error(run.lse, expected.lse) < bound);
  BOOST_TEST(relative_error(run.dqkv, expected.dqkv) < bound);
}

/// Gives each query the keys of its segment, of lengths that grow. The last segment of a
/// sequence is padding, whose tokens have no keys.
void set_segments(Run& run, std::int64_t longest) {
  const AttentionShape& a = run.shape;
  run.first_keys = cpu().make(DType::i32, Shape{a.batch * a.seq});
  run.end_keys = cpu().make(DType::i32, Shape{a.batch * a.seq});
  for (std::int64_t b = 0, length = 1; b < a.batch; ++b) {
    for (std::int64_t first = 0; first < a.seq; length = length * 2 % longest + 1) {
      const std::int64_t end = std::min(first + length, a.seq);
      const bool padding = end == a.seq && b > 0;
      for (std::int64_t i = first; i < end; ++i) {
        run.first_keys.data<std::int32_t>()[b * a.seq + i] = static_cast<std::int32_t>(first);
        run.end_keys.data<std::int32_t>()[b * a.seq + i] =
            static_cast<std::int32_t>(padding ? first : end);
      }
      first = end;
    }
  }
}

BOOST_AUTO_TEST_CASE(sees_later_keys) {
  for_all_shapes([](const AttentionShape& a) {
    const Masks masks = observed_masks(a, kDropout, false);
    for (const DType type : {DType::f32, DType::f64}) {
      Run run(type, a, 2);
      run.rule = {.scale = 0.3, .softcap = 2, .causal = false};
      run.forward();
      run.backward();
      require_equal_to_reference(run);
      run.forward(kDropout);
      run.backward(kDropout);
      require_equal_to_reference(run, masks);
    }
  });
}

BOOST_AUTO_TEST_CASE(sees_the_keys_of_a_segment) {
  for_all_shapes([](const AttentionShape& a) {
    for (const DType type : {DType::f32, DType::f64}) {
      for (const bool causal : {false, true}) {
        Run run(type, a, 2);
        run.rule.causal = causal;
        set_segments(run, 61);
        run.forward();
        run.backward();
        require_equal_to_reference(run);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(gradients_of_segments) {
  Run run(DType::f64, shape_of(70, 8, 2, 2), 2);
  run.rule.causal = false;
  set_segments(run, 61);
  run.forward(kDropout);
  run.backward(kDropout);
  const auto loss = [&] {
    run.forward(kDropout);
    return inner(run.out, run.dout);
  };
  BOOST_TEST(gradient_error(run.qkv, run.dqkv, loss, 20) < 1e-7);
}

/// Padding has no tile of keys, and no query reads a tile of padding.
BOOST_AUTO_TEST_CASE(tiles_of_padding_are_not_read) {
  Run run(DType::f32, shape_of(260, 8, 2, 2, 1));
  run.rule.causal = false;
  run.first_keys = cpu().make(DType::i32, Shape{260});
  run.end_keys = cpu().make(DType::i32, Shape{260});
  for (std::int32_t i = 0; i < 260; ++i) {
    run.first_keys.data<std::int32_t>()[i] = i < 100 ? 0 : 100;
    run.end_keys.data<std::int32_t>()[i] = 100;
  }
  run.forward();
  run.backward();
  const Host out = host(run.out);
  const Host dqkv = host(run.dqkv);
  BOOST_TEST(out.bottomRows(160).isZero(0));
  BOOST_TEST(dqkv.bottomRows(160).isZero(0));
  assign(run.qkv.view().slice_rows(128, 132),
         Host::Constant(132, run.qkv.cols(), std::numeric_limits<double>::quiet_NaN()));
  run.forward();
  run.backward();
  BOOST_TEST((host(run.out) - out).isZero(0));
  BOOST_TEST((host(run.dqkv) - dqkv).isZero(0));
}

BOOST_AUTO_TEST_CASE(windows_and_slopes_are_causal) {
  for (const ScoreRule& rule : {ScoreRule{.window = 3, .causal = false},
                                ScoreRule{.alibi_heads = 2, .causal = false}}) {
    Run run(DType::f32, shape_of(4, 8, 2, 1));
    run.rule = rule;
    BOOST_CHECK_THROW(run.forward(), Error);
    BOOST_CHECK_THROW(run.backward(), Error);
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
