// SPDX-License-Identifier: Apache-2.0
// Differences of arrays of every type, and the order of a model's tensors.
#include "../../src/app/diff.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace trireme;

namespace {

template <class T>
Difference diff(const std::vector<T>& a, const std::vector<T>& b) {
  const Shape shape{static_cast<std::int64_t>(a.size())};
  return difference_of(ConstView(a.data(), kDTypeOf<T>, shape),
                       ConstView(b.data(), kDTypeOf<T>, shape));
}

template <class T>
void check(const std::vector<T>& a, const std::vector<T>& b, std::int64_t first,
           double largest) {
  BOOST_TEST_CONTEXT(name_of(kDTypeOf<T>)) {
    for (const Difference d : {diff(a, b), diff(b, a)}) {
      BOOST_TEST(d.first == first);
      BOOST_TEST(d.largest == largest);
    }
    BOOST_TEST(diff(a, a).first == -1);
    BOOST_TEST(diff(a, a).largest == 0);
  }
}

Half half(std::uint16_t bits) {
  Half h;
  h.bits = bits;
  return h;
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const float kNan = std::nanf("");

}  // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_diff)

BOOST_AUTO_TEST_CASE(largest_and_first_of_every_type) {
  check<float>({1, 2, 3, 4}, {1, 2.5, 3, 1}, 1, 3);
  // These doubles are closer to each other than two floats can be.
  check<double>({1, 2}, {1, 2 + 1e-12}, 1, (2 + 1e-12) - 2);
  check<Bf16>({Bf16(1), Bf16(2)}, {Bf16(1), Bf16(-2)}, 1, 4);
  check<std::int32_t>({std::numeric_limits<std::int32_t>::min()},
                      {std::numeric_limits<std::int32_t>::max()}, 0, 4294967295.0);
  check<std::int64_t>({-5, std::numeric_limits<std::int64_t>::max()},
                      {-5, std::numeric_limits<std::int64_t>::max() - 1}, 1, 1);
  check<std::uint8_t>({0, 255}, {255, 0}, 0, 255);
  check<std::uint16_t>({7, 65535}, {7, 65000}, 1, 535);
  check<std::uint32_t>({1, 2, 3}, {1, 2, 4000000000U}, 2, 3999999997.0);
  check<std::uint64_t>({~std::uint64_t{0}}, {~std::uint64_t{0} - 1}, 0, 1);
}

BOOST_AUTO_TEST_CASE(half_precision) {
  check<Half>({half(0x3c00), half(0x3c00)}, {half(0x3c00), half(0xc000)}, 1, 3);  // 1, −2
  check<Half>({half(0x0001)}, {half(0x8001)}, 0, std::ldexp(1.0, -23));  // ± the smallest
  check<Half>({half(0x7bff)}, {half(0)}, 0, 65504);
  check<Half>({half(0x7c00)}, {half(0x3c00)}, 0, kInfinity);
  BOOST_TEST(std::isnan(diff<Half>({half(0x7e00)}, {half(0x3c00)}).largest));
}

BOOST_AUTO_TEST_CASE(what_is_no_number) {
  check<float>({kNan, 1, kNan}, {kNan, 1, kNan}, -1, 0);
  check<float>({kNan, 1}, {kNan, 2}, 1, 1);
  check<float>({0.0F}, {-0.0F}, 0, 0);  // unequal bits, equal numbers
  check<float>({INFINITY, 1}, {INFINITY, 1}, -1, 0);
  check<float>({INFINITY}, {1}, 0, kInfinity);
  // Once one of the two is not a number, no later difference hides this.
  const Difference d = diff<float>({1, kNan, 1}, {1.5, 2, 9});
  BOOST_TEST(d.first == 0);
  BOOST_TEST(std::isnan(d.largest));
}

BOOST_AUTO_TEST_CASE(order_of_a_forward_pass) {
  const std::vector<std::string> expected = {
      "model/embed_in.weight",
      "model/embed_positions.weight",
      "model/layers.0.input_layernorm.weight",
      "model/layers.0.attention.query_key_value.weight",
      "model/layers.0.attention.dense.bias",
      "model/layers.0.attention.dense.weight",
      "model/layers.0.post_attention_layernorm.weight",
      "model/layers.0.mlp.dense_h_to_4h.weight",
      "model/layers.0.mlp.dense_4h_to_h.weight",
      "model/layers.1.mlp.gate_proj.weight",
      "model/layers.1.mlp.up_proj.weight",
      "model/layers.1.mlp.down_proj.weight",
      "model/layers.2.input_layernorm.weight",
      "model/layers.10.input_layernorm.weight",
      "model/final_layer_norm.weight",
      "model/embed_out.weight",
      "model/other",
      "optimizer/exp_avg/embed_in.weight",
      "optimizer/exp_avg/embed_out.weight",
      "optimizer/exp_avg_sq/embed_in.weight",
  };
  auto names = expected;
  std::ranges::sort(names);
  std::ranges::sort(names, in_model_order);
  BOOST_TEST(names == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
