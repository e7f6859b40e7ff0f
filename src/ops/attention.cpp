// SPDX-License-Identifier: Apache-2.0
// Checks arguments of attention, and computes the table of rotary angles.
#include "trireme/ops/attention.hpp"

#include <cmath>
#include <vector>

#include "check.hpp"

namespace trireme::ops {

namespace {

void check(const ConstView& qkv, const AttentionShape& a, const Dropout& dropout,
           const ConstView& out, const ConstView& lse) {
  TRM_CHECK(qkv.rows() == a.batch * a.seq && qkv.cols() == a.row_width() &&
                out.rows() == qkv.rows() && out.cols() == a.heads() * a.head_dim &&
                lse.count() == a.batch * a.heads() * a.seq,
            "attention of {} heads × {} on {}", a.heads(), a.head_dim, qkv.shape().str());
  TRM_CHECK(dropout.probability >= 0 && dropout.probability < 1, "dropout with probability {}",
            dropout.probability);
  check_types(qkv, {out});
  check_accumulators(qkv, {lse});
  check_contiguous({lse});
}

template <class T>
void fill(std::vector<T>& t, std::int64_t seq, std::int64_t dim, double base) {
  const std::int64_t half = dim / 2;
  for (std::int64_t p = 0; p < seq; ++p) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(p) *
          std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
      t[static_cast<std::size_t>(p * dim + i)] = static_cast<T>(std::cos(angle));
      t[static_cast<std::size_t>(p * dim + half + i)] = static_cast<T>(std::sin(angle));
    }
  }
}

}  // namespace

Tensor rotary_table(const Exec& ex, DType dtype, std::int64_t seq, std::int64_t rotary_dim,
                    double base) {
  TRM_CHECK(rotary_dim % 2 == 0, "rotary embedding of an odd number of entries, {}",
            rotary_dim);
  TRM_CHECK(floating(dtype), "a rotary table for {}", name_of(dtype));
  Tensor table = ex.make(accumulator_type(dtype), Shape{seq, rotary_dim});
  if (ex.device.kind() == DeviceKind::dry) return table;
  const auto upload = [&]<class T>(T) {
    std::vector<T> host(static_cast<std::size_t>(seq * rotary_dim));
    fill(host, seq, rotary_dim, base);
    ex.device.copy_from_host(table.view().raw(), host.data(), table.view().bytes(), ex.stream);
    ex.stream.synchronize();
  };
  if (dtype == DType::f64) {
    upload(double{});
  } else {
    upload(float{});
  }
  return table;
}

void rotary(const Exec& ex, const View& qkv, const AttentionShape& shape,
            const ConstView& table, bool inverse) {
  TRM_CHECK(qkv.rows() == shape.batch * shape.seq && qkv.cols() == shape.row_width() &&
                table.rows() >= shape.seq && table.cols() <= shape.head_dim,
            "rotary table {} on {}", table.shape().str(), qkv.shape().str());
  check_accumulators(qkv, {table});
  ex.kernels.rotary(ex.stream, qkv, shape, table, inverse);
}

void attention_forward(const Exec& ex, const ConstView& qkv, const AttentionShape& shape,
                       const Dropout& dropout, const View& out, const View& lse) {
  check(qkv, shape, dropout, out, lse);
  ex.kernels.attention_forward(ex.stream, qkv, shape, dropout, out, lse);
}

void attention_backward(const Exec& ex, const ConstView& dout, const ConstView& qkv,
                        const ConstView& out, const ConstView& lse, const AttentionShape& shape,
                        const Dropout& dropout, const View& dqkv) {
  check(qkv, shape, dropout, out, lse);
  check(dqkv, shape, dropout, dout, lse);
  check_types(qkv, {dqkv});
  ex.kernels.attention_backward(ex.stream, dout, qkv, out, lse, shape, dropout, dqkv);
}

}  // namespace trireme::ops
