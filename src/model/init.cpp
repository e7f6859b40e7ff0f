// SPDX-License-Identifier: Apache-2.0
// Random draws by global element. Four neighbours share one Philox block. Rows of a box are
// drawn in aligned quads, and draws outside of the row are dropped.
#include "trireme/model/init.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/random.hpp"
#include "trireme/model/mup.hpp"

#include "box_muller.hpp"
#include "orthogonal.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kBlock = 64;  ///< quads drawn at a time

struct NormalDraw {
  float scale;
  void operator()(const RngKey& key, std::int64_t first, std::int64_t quads, float* out) const {
    std::array<std::uint32_t, 2 * kBlock> angle;
    std::array<std::uint32_t, 2 * kBlock> radius;
    for (std::int64_t i = 0; i < quads; ++i) {
      const auto w = philox(key, static_cast<std::uint64_t>(first + i));
      const auto at = static_cast<std::size_t>(2 * i);
      angle[at] = w[0];
      radius[at] = w[1];
      angle[at + 1] = w[2];
      radius[at + 1] = w[3];
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(2 * quads); ++i) {
      const NormalPair pair = box_muller(angle[i], radius[i]);
      out[2 * i] = scale * pair.first;
      out[2 * i + 1] = scale * pair.second;
    }
  }
};

struct UniformDraw {
  double bound;
  void operator()(const RngKey& key, std::int64_t first, std::int64_t quads, float* out) const {
    for (std::int64_t i = 0; i < quads; ++i) {
      const auto words = philox(key, static_cast<std::uint64_t>(first + i));
      for (const std::uint32_t w : words) {
        *out++ = static_cast<float>(bound * (2 * unit_interval(w) - 1));
      }
    }
  }
};

/// Global index of the first element of row `row` of the box.
std::int64_t first_index(const Box& box, const Shape& global, std::int64_t row) {
  const int last = global.rank() - 1;
  std::int64_t index = box.offset[last];
  std::int64_t stride = global[last];
  for (int axis = last - 1; axis >= 0; --axis) {
    index += (box.offset[axis] + row % box.extent[axis]) * stride;
    row /= box.extent[axis];
    stride *= global[axis];
  }
  return index;
}

/// Draws elements begin … end of the global array.
template <class T, class Draw>
void fill_run(T* out, std::int64_t begin, std::int64_t end, const RngKey& key,
              const Draw& draw) {
  std::array<float, 4 * kBlock> values;
  const std::int64_t quads = (end + 3) / 4;
  for (std::int64_t quad = begin / 4; quad < quads; quad += kBlock) {
    const std::int64_t n = std::min(kBlock, quads - quad);
    draw(key, quad, n, values.data());
    const std::int64_t first = std::max(begin, quad * 4);
    const std::int64_t beyond = std::min(end, (quad + n) * 4);
    for (std::int64_t i = first; i < beyond; ++i) {
      out[i - begin] = static_cast<T>(values[static_cast<std::size_t>(i - quad * 4)]);
    }
  }
}

template <class T, class Draw>
void fill_box(const View& local, const Box& box, const Shape& global, const RngKey& key,
              const Draw& draw) {
  for (std::int64_t row = 0; row < local.rows(); ++row) {
    const std::int64_t begin = first_index(box, global, row);
    fill_run(local.data<T>() + row * local.row_stride(), begin, begin + local.cols(), key,
             draw);
  }
}

template <class T>
void fill_constant(const View& local, T value) {
  for (std::int64_t row = 0; row < local.rows(); ++row) {
    std::fill_n(local.data<T>() + row * local.row_stride(), local.cols(), value);
  }
}

double fan_sum(const Shape& global) { return static_cast<double>(global[0] + global[1]); }

double normal_std(const InitRule& rule, const Shape& global) {
  const auto layers = static_cast<double>(rule.num_layers);
  const auto hidden = static_cast<double>(rule.hidden_size);
  switch (rule.method) {
    case InitMethod::normal:
      return rule.std;
    case InitMethod::scaled_normal:
      return rule.std / std::sqrt(2 * layers);
    case InitMethod::single_residual_scaled_normal:
      return rule.std / std::sqrt(layers);
    case InitMethod::small_init:
      return std::sqrt(2 / (5 * hidden));
    case InitMethod::wang_init:
      return 2 / (layers * std::sqrt(hidden));
    case InitMethod::xavier_normal:
      return std::sqrt(2 / fan_sum(global));
    default:
      throw Error("not an init method with normal draws");
  }
}

/// Makes the whole matrix √2 · Q or √(2/L) · Q, and copies `box` of this matrix to `local`.
template <class T>
void fill_orthogonal(const View& local, const Box& box, const Shape& global, const RngKey& key,
                     double gain) {
  std::vector<float> whole(static_cast<std::size_t>(global.count()));
  fill_run(whole.data(), 0, global.count(), key, NormalDraw{1.0F});
  make_orthogonal(whole, global[0], global[1], gain);
  for (std::int64_t row = 0; row < local.rows(); ++row) {
    std::copy_n(whole.data() + first_index(box, global, row), local.cols(),
                local.data<T>() + row * local.row_stride());
  }
}

template <class T>
void fill(const View& local, const Box& box, const Shape& global, const RngKey& key,
          const InitRule& rule) {
  switch (rule.method) {
    case InitMethod::zeros:
      return fill_constant<T>(local, 0);
    case InitMethod::ones:
      return fill_constant<T>(local, 1);
    case InitMethod::xavier_uniform:
      return fill_box<T>(local, box, global, key,
                         UniformDraw{rule.factor * std::sqrt(6 / fan_sum(global))});
    case InitMethod::kaiming_uniform:
      return fill_box<T>(local, box, global, key,
                         UniformDraw{1 / std::sqrt(static_cast<double>(global[1]))});
    case InitMethod::orthogonal:
      return fill_orthogonal<T>(local, box, global, key, std::sqrt(2.0));
    case InitMethod::scaled_orthogonal:
      return fill_orthogonal<T>(local, box, global, key,
                                std::sqrt(2 / static_cast<double>(rule.num_layers)));
    default:
      return fill_box<T>(
          local, box, global, key,
          NormalDraw{static_cast<float>(rule.factor * normal_std(rule, global))});
  }
}

bool needs_matrix(InitMethod m) {
  return m == InitMethod::xavier_uniform || m == InitMethod::xavier_normal ||
         m == InitMethod::orthogonal || m == InitMethod::scaled_orthogonal ||
         m == InitMethod::kaiming_uniform;
}

}  // namespace

InitRule init_rule(const ModelConfig& model, InitMethod method) {
  return {method, model.init_method_std, model.num_layers, model.hidden_size};
}

InitRule init_rule(const ModelConfig& model, const Parameter& parameter) {
  InitRule rule = init_rule(model, parameter.init);
  rule.factor = mup_init_factor(model.mup, parameter);
  return rule;
}

void fill_initial(View local, const Box& box, const Shape& global, std::string_view name,
                  const InitRule& rule, std::uint64_t seed) {
  TRM_CHECK(global.rank() >= 1 && box.inside(global), "{}: {} at {} of {}", name,
            box.extent.str(), box.offset.str(), global.str());
  TRM_CHECK(local.rows() == box.extent.rows() && local.cols() == box.extent.cols(),
            "{}: memory of shape {} for a box of {}", name, local.shape().str(),
            box.extent.str());
  TRM_REQUIRE(!needs_matrix(rule.method) || global.rank() == 2,
              "{}: xavier, orthogonal and kaiming init methods fill matrices, not {}", name,
              global.str());
  TRM_CHECK(rule.num_layers >= 1 && rule.hidden_size >= 1, "{}: {} layers of hidden size {}",
            name, rule.num_layers, rule.hidden_size);
  if (box.count() == 0) return;
  const RngKey key{seed, stream_of(name)};
  if (local.dtype() == DType::f32) return fill<float>(local, box, global, key, rule);
  TRM_CHECK(local.dtype() == DType::f64, "{}: initial weights in {}", name,
            name_of(local.dtype()));
  fill<double>(local, box, global, key, rule);
}

}  // namespace trireme
