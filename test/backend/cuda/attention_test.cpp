// SPDX-License-Identifier: Apache-2.0
// Compares the GPU's attention with the CPU's on equal arrays.
#include "trireme/ops/attention.hpp"

#include <array>

#include <boost/test/unit_test.hpp>

#include "../../support/turns.hpp"
#include "gpu.hpp"

namespace trireme::test {
namespace {

constexpr std::array kTypes = {DType::f32, DType::f16, DType::bf16};
const Dropout kDropout{0.3, {77, 5}, 1000};

double bound(DType type) {
  return type == DType::f32 ? 1e-5 : type == DType::f16 ? 2e-3 : 1.5e-2;
}

/// Arrays of one call: on the CPU, or windows of GPU arrays that are `margin` wider on both
/// sides.
struct Arrays {
  Tensor qkv, dout, out, lse, dqkv;
  std::int64_t margin = 0;
  Tensor first_keys = {};  ///< undefined: attention crosses documents
  Tensor end_keys = {};    ///< likewise
  ScoreRule scores = {};

  [[nodiscard]] View window(const Tensor& t) const {
    return t.view().slice_cols(margin, t.cols() - 2 * margin);
  }
};

Arrays on_host(DType type, const AttentionShape& a) {
  const Shape wide{a.batch * a.seq, a.row_width()};
  const Shape narrow{a.batch * a.seq, a.heads() * a.head_dim};
  return {random(type, wide, "qkv", 2), random(type, narrow, "dout"), poisoned(type, narrow),
          poisoned(DType::f32, Shape{a.batch, a.heads(), a.seq}), poisoned(type, wide)};
}

Arrays moved(const Arrays& from, std::int64_t margin) {
  const auto widened = [&](const Tensor& t) {
    Tensor wide = poisoned(t.dtype(), Shape{t.rows(), t.cols() + 2 * margin});
    assign(wide.view().slice_cols(margin, t.cols()), host(t));
    return on_gpu(wide);
  };
  return {widened(from.qkv), widened(from.dout), widened(from.out),
          on_gpu(from.lse),  widened(from.dqkv), margin};
}

/// Documents of 1, 2, 3, … tokens, begun anew in each sequence with another length.
Tensor documents_of(const AttentionShape& a) {
  Tensor first_keys = cpu().make(DType::i32, Shape{a.batch * a.seq});
  for (std::int64_t b = 0; b < a.batch; ++b) {
    std::int64_t length = 1 + 40 * b;
    std::int64_t first = 0;
    for (std::int64_t i = 0; i < a.seq; ++i) {
      if (i == first + length) {
        first = i;
        ++length;
      }
      first_keys.data<std::int32_t>()[b * a.seq + i] = static_cast<std::int32_t>(first);
    }
  }
  return first_keys;
}

/// The ends of such documents. The last of a sequence but the first is padding without keys.
Tensor ends_of(const AttentionShape& a, const Tensor& first_keys) {
  Tensor end_keys = cpu().make(DType::i32, first_keys.shape());
  const auto* firsts = first_keys.data<std::int32_t>();
  auto* ends = end_keys.data<std::int32_t>();
  for (std::int64_t b = 0; b < a.batch; ++b) {
    for (std::int64_t i = (b + 1) * a.seq; i-- > b * a.seq;) {
      const bool is_last = firsts[i] == firsts[(b + 1) * a.seq - 1];
      const bool is_end = i + 1 == (b + 1) * a.seq || firsts[i + 1] != firsts[i];
      ends[i] = is_last && b > 0 ? firsts[i]
                : is_end         ? static_cast<std::int32_t>(i - b * a.seq + 1)
                                 : ends[i + 1];
    }
  }
  return end_keys;
}

void run(const Exec& ex, const Arrays& x, const AttentionShape& a, const Dropout& d) {
  const auto view_of = [](const Tensor& t) {
    return t.defined() ? ConstView(t.view()) : ConstView();
  };
  const ConstView first_keys = view_of(x.first_keys);
  const ConstView end_keys = view_of(x.end_keys);
  ops::attention_forward(ex, {.shape = a,
                              .scores = x.scores,
                              .dropout = d,
                              .first_keys = first_keys,
                              .end_keys = end_keys,
                              .qkv = x.window(x.qkv),
                              .out = x.window(x.out),
                              .lse = x.lse});
  ops::attention_backward(ex, {.shape = a,
                               .scores = x.scores,
                               .dropout = d,
                               .first_keys = first_keys,
                               .end_keys = end_keys,
                               .dout = x.window(x.dout),
                               .qkv = x.window(x.qkv),
                               .out = x.window(x.out),
                               .lse = x.lse,
                               .dqkv = x.window(x.dqkv)});
}

double largest_error(const Host& x, const Host& reference) {
  return (x - reference).cwiseAbs().maxCoeff() / reference.cwiseAbs().maxCoeff();
}

/// Runs both backends on equal numbers, the GPU twice; its threads may run in another order.
void compare(DType type, const AttentionShape& a, const Dropout& d, std::int64_t margin = 0,
             const Exec& ex = gpu(), bool documents = false, const ScoreRule& scores = {}) {
  BOOST_TEST_CONTEXT((documents ? "documents of " : "")
                     << name_of(type) << " batch " << a.batch << " seq " << a.seq << " heads "
                     << a.kv_heads << " × " << a.queries_per_kv << " × " << a.head_dim
                     << " dropout " << d.probability) {
    Arrays expected = on_host(type, a);
    expected.scores = scores;
    Arrays mine = moved(expected, margin);
    Arrays again = moved(expected, margin);
    mine.scores = again.scores = scores;
    if (documents) {
      expected.first_keys = documents_of(a);
      mine.first_keys = again.first_keys = on_gpu(expected.first_keys);
      if (!scores.causal) {
        expected.end_keys = ends_of(a, expected.first_keys);
        mine.end_keys = again.end_keys = on_gpu(expected.end_keys);
      }
    }
    run(ex, mine, a, d);
    run(ex, again, a, d);
    run(cpu(), expected, a, d);
    const auto check = [&](const Tensor& x, const Tensor& twice, const Tensor& reference,
                           double most) {
      const Tensor back = on_cpu(x);
      const Host h = host(mine.margin == 0 ? back.view() : mine.window(back));
      BOOST_TEST(relative_error(h, host(reference)) < most);
      BOOST_TEST(largest_error(h, host(reference)) < 2 * most);
      BOOST_TEST(same_bits(back, on_cpu(twice)));
      for (std::int64_t c = 0; c < margin; ++c) {
        BOOST_TEST(host(back).col(c).array().isNaN().all());
        BOOST_TEST(host(back).col(back.cols() - 1 - c).array().isNaN().all());
      }
    };
    check(mine.out, again.out, expected.out, bound(type));
    check(mine.dqkv, again.dqkv, expected.dqkv, bound(type));
    BOOST_TEST(relative_error(host(on_cpu(mine.lse)), host(expected.lse)) < 1e-5);
    BOOST_TEST(same_bits(on_cpu(mine.lse), on_cpu(again.lse)));
  }
}

/// Of all types; with dropout or without.
template <std::size_t N, std::size_t M>
void compare_all(const std::int64_t (&head_dims)[N], const std::int64_t (&lengths)[M]) {
  for_pairs(
      [](DType type, std::int64_t head_dim, std::int64_t seq, bool drops) {
        if (drops) {
          compare(type, {1, seq, 2, 1, head_dim, 3}, kDropout);
        } else {
          compare(type, {2, seq, 1, 2, head_dim, 0}, {});
        }
      },
      kTypes, head_dims, lengths, kEither);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(attention)

BOOST_AUTO_TEST_CASE(equals_the_cpus_at_all_lengths) { compare_all({64}, {1, 7, 64, 65, 130}); }

BOOST_AUTO_TEST_CASE(equals_the_cpus_at_all_head_sizes) {
  compare_all({5, 8, 16, 32, 80, 96, 128, 136, 192, 256}, {70});
}

BOOST_AUTO_TEST_CASE(equals_the_cpus_beyond_a_tile) {
  for (const std::int64_t dim : {32, 96, 128, 160, 192, 256}) {
    compare(DType::bf16, {1, 140, 1, 1, dim, 0}, kDropout);  // the longest tiles have 128 rows
  }
  compare(DType::f32, {1, 140, 1, 1, 80, 0}, kDropout);
}

BOOST_AUTO_TEST_CASE(equals_the_cpus_in_groups) {
  for (const DType type : {DType::f32, DType::bf16}) {
    compare(type, {2, 65, 2, 4, 16, 5}, kDropout);
  }
  compare(DType::f16, {2, 65, 3, 4, 16, 0}, {});
}

BOOST_AUTO_TEST_CASE(windows_of_wider_rows) {
  for (const DType type : kTypes) {
    compare(type, {2, 65, 1, 2, 16, 0}, kDropout, 8);  // heads begin at multiples of 16 bytes
    compare(type, {2, 65, 1, 2, 16, 0}, kDropout, 3);  // they don't
  }
}

BOOST_AUTO_TEST_CASE(equals_the_cpus_where_documents_end_attention) {
  for (const std::int64_t dim : {32, 96, 160}) {
    compare(DType::bf16, {2, 150, 1, 2, dim, 0}, {}, 0, gpu(), true);
  }
  compare(DType::f16, {1, 200, 1, 1, 64, 0}, kDropout, 0, gpu(), true);
  compare(DType::f32, {2, 150, 1, 2, 80, 0}, kDropout, 0, gpu(), true);
  compare(DType::f32, {2, 70, 2, 1, 16, 0}, {}, 3, gpu(), true);
}

BOOST_AUTO_TEST_CASE(equals_the_cpus_where_queries_see_later_keys) {
  const ScoreRule rule{.causal = false};
  for (const bool documents : {false, true}) {
    for (const std::int64_t dim : {32, 96, 160}) {
      compare(DType::bf16, {2, 150, 1, 2, dim, 0}, {}, 0, gpu(), documents, rule);
    }
    compare(DType::f16, {2, 200, 1, 1, 64, 0}, kDropout, 0, gpu(), documents, rule);
    compare(DType::f32, {2, 150, 1, 2, 80, 0}, kDropout, 0, gpu(), documents, rule);
    compare(DType::f32, {2, 70, 2, 1, 16, 0}, {}, 3, gpu(), documents, rule);
    compare(DType::bf16, {2, 70, 2, 1, 16, 0}, {}, 0, gpu(), documents,
            {.softcap = 2, .causal = false});
  }
}

BOOST_AUTO_TEST_CASE(equals_the_cpus_through_windows) {
  for (const std::int64_t window : {1, 9, 64, 100}) {
    const ScoreRule rule{.scale = 0.2, .window = window};
    compare(DType::bf16, {1, 200, 1, 2, 64, 0}, {}, 0, gpu(), false, rule);
    compare(DType::f32, {1, 150, 1, 2, 80, 0}, kDropout, 0, gpu(), false, rule);
  }
  compare(DType::f16, {2, 150, 2, 1, 128, 0}, kDropout, 0, gpu(), true, {.window = 30});
}

BOOST_AUTO_TEST_CASE(equals_the_cpus_with_caps_and_slopes) {
  for (const DType type : kTypes) {
    compare(type, {1, 70, 2, 2, 16, 3}, {}, 0, gpu(), false, {.softcap = 1.5, .window = 40});
    compare(type, {2, 70, 2, 2, 16, 3}, kDropout, 0, gpu(), true, {.alibi_heads = 11});
  }
}

BOOST_AUTO_TEST_CASE(large_scores_stay_finite) {
  for (const DType type : kTypes) {
    const AttentionShape a{1, 130, 1, 1, 32, 0};
    Arrays from = on_host(type, a);
    from.qkv = random(type, from.qkv.shape(), "qkv", 100);
    const Arrays x = moved(from, 0);
    run(gpu(), x, a, {});
    run(cpu(), from, a, {});
    BOOST_TEST(relative_error(host(on_cpu(x.out)), host(from.out)) < 1e-2);
    BOOST_TEST(host(on_cpu(x.dqkv)).allFinite());
  }
}

/// cuDNN's attention and the program's own kernels agree with the CPU's, or cuDNN says why it
/// can't run.
BOOST_AUTO_TEST_CASE(equals_the_cpus_by_cudnn) {
  const auto kernels_of = [](FusedAttention choice) {
    return make_cuda_kernels(gpu().device, {.attention = choice});
  };
  const auto own = kernels_of(FusedAttention::own);
  std::unique_ptr<Kernels> cudnn;
  try {
    cudnn = kernels_of(FusedAttention::cudnn);
    const AttentionShape a{1, 8, 1, 1, 8, 0};
    run({gpu().device, *cudnn, gpu().stream}, moved(on_host(DType::bf16, a), 0), a, {});
  } catch (const Error& e) {
    BOOST_TEST_MESSAGE(e.what());
    BOOST_TEST(std::string_view(e.what()).find("attention_kernel: cudnn: ") == 0U);
    return;
  }
  for (Kernels* const kernels : {own.get(), cudnn.get()}) {
    const Exec ex{gpu().device, *kernels, gpu().stream};
    for (const DType type : {DType::f16, DType::bf16}) {
      for (const std::int64_t seq : {2, 65, 128, 300}) {
        compare(type, {3, seq, 2, 1, 64, 0}, {}, 0, ex);
      }
      for (const std::int64_t dim : {8, 40, 80, 128, 256}) {
        compare(type, {1, 130, 3, 1, dim, 0}, {}, 0, ex);
      }
      compare(type, {2, 65, 2, 1, 32, 0}, {}, 8, ex);
      compare(type, {2, 1024, 20, 1, 8, 0}, {}, 0, ex);  // one sequence at a time
      compare(type, {1, 2048, 10, 1, 8, 0}, {}, 0, ex);  // some heads at a time
    }
  }
  const Exec ex{gpu().device, *cudnn, gpu().stream};
  const AttentionShape a{1, 8, 1, 1, 8, 0};
  const auto halves = moved(on_host(DType::bf16, a), 0);
  BOOST_CHECK_THROW(run(ex, halves, a, kDropout), Error);
  BOOST_CHECK_THROW(run(ex, moved(on_host(DType::f32, a), 0), a, {}), Error);
}

BOOST_AUTO_TEST_CASE(refuses_heads_that_are_too_long) {
  const AttentionShape a{1, 2, 1, 1, 257, 0};
  const Arrays x = moved(on_host(DType::f32, a), 0);
  BOOST_CHECK_THROW(run(gpu(), x, a, {}), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
