// SPDX-License-Identifier: Apache-2.0
// Compares two checkpoints.
#include "diff.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <tuple>
#include <vector>

#include "trireme/core/log.hpp"
#include "trireme/host/progress.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kSlabBytes = std::int64_t{32} << 20U;

double value_of(Half h) {
  const double sign = (h.bits & 0x8000U) != 0 ? -1 : 1;
  const int exponent = (h.bits >> 10U) & 0x1f;
  const int fraction = h.bits & 0x3ff;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent < 0x1f) return sign * std::ldexp(fraction + 0x400, exponent - 25);
  return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
}

template <class T>
double distance(T a, T b) {
  // exact, unlike a comparison of large integers as doubles
  if constexpr (std::is_integral_v<T>) {
    const auto low = static_cast<std::uint64_t>(std::min(a, b));
    return static_cast<double>(static_cast<std::uint64_t>(std::max(a, b)) - low);
  } else if constexpr (std::is_same_v<T, Half>) {
    return std::abs(value_of(a) - value_of(b));
  } else {
    return std::abs(static_cast<double>(static_cast<float>(a)) -
                    static_cast<double>(static_cast<float>(b)));
  }
}

template <>
double distance(double a, double b) {
  return std::abs(a - b);
}

void add(Difference& to, std::int64_t index, double distance) {
  if (to.first < 0) to.first = index;
  if (!std::isnan(to.largest) && !(distance <= to.largest)) to.largest = distance;
}

template <class T>
Difference differ(const ConstView& a, const ConstView& b) {
  Difference d;
  const T* x = a.data<T>();
  const T* y = b.data<T>();
  for (std::int64_t i = 0; i < a.count(); ++i) {
    using Bits = std::array<std::byte, sizeof(T)>;
    if (std::bit_cast<Bits>(x[i]) != std::bit_cast<Bits>(y[i])) {
      add(d, i, distance(x[i], y[i]));
    }
  }
  return d;
}

template <std::size_t N>
std::size_t place_in(const std::array<const char*, N>& list, std::string_view name) {
  const auto at = std::ranges::find_if(list, [&](auto word) { return name.starts_with(word); });
  return static_cast<std::size_t>(at - list.begin());
}

/// The sort key of a tensor's name.
using Key = std::tuple<bool, std::string, std::size_t, std::int64_t, std::size_t, std::string>;

Key key_of(const std::string& name) {
  static constexpr std::array kUnits = {"embed_in.", "embed_positions.", "layers.",
                                        "final_layer_norm.", "embed_out."};
  static constexpr std::array kParts = {"input_layernorm.",  "attention.query_key_value.",
                                        "attention.",        "post_attention_layernorm.",
                                        "mlp.dense_h_to_4h", "mlp.gate_proj.",
                                        "mlp.up_proj.",      "mlp."};
  const std::size_t slash = name.rfind('/') + 1;
  const std::string group = name.substr(0, slash);
  const std::string parameter = name.substr(slash);
  const std::size_t unit = place_in(kUnits, parameter);
  std::int64_t layer = 0;
  std::size_t part = 0;
  if (parameter.starts_with("layers.")) {
    const char* end = parameter.data() + parameter.size();
    const char* after = std::from_chars(parameter.data() + 7, end, layer).ptr;
    part = place_in(kParts, std::string_view(after, end).substr(after == end ? 0 : 1));
  }
  return {group != "model/", group, unit, layer, part, parameter};
}

/// The position of element number `index` in an array of this shape: "[3, 17]".
std::string place_text(const Shape& shape, std::int64_t index) {
  Shape at = shape;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    at[axis] = index % shape[axis];
    index /= shape[axis];
  }
  return at.str();
}

class Comparison {
 public:
  Comparison(CheckpointReader& a, CheckpointReader& b) : a_(a), b_(b) {
    const auto one = a.names();
    const auto other = b.names();
    std::ranges::set_union(one, other, std::back_inserter(names_));
    std::ranges::sort(names_, in_model_order);
    for (const auto& name : names_) {
      width_ = std::max(width_, name.size());
      if (comparable(name)) total_ += megabytes(name);
    }
  }

  bool run() {
    print_states();
    log::info("{:<{}}  {:>18}  first element that differs", "tensor", width_,
              "largest difference");
    Progress progress("compared", "MB", total_);
    for (const auto& name : names_) print(name, progress);
    if (differing_ == 0) {
      log::info("no difference in {} tensors", names_.size());
    } else {
      log::info("{} of {} tensors differ, the first is {}", differing_, names_.size(), first_);
    }
    return differing_ == 0;
  }

 private:
  [[nodiscard]] bool comparable(const std::string& name) const {
    return a_.has(name) && b_.has(name) && a_.dtype(name) == b_.dtype(name) &&
           a_.global_shape(name) == b_.global_shape(name);
  }

  [[nodiscard]] double megabytes(const std::string& name) const {
    return static_cast<double>(a_.global_shape(name).count()) *
           static_cast<double>(size_of(a_.dtype(name))) * 1e-6;
  }

  void print_states() const {
    const RunState& x = a_.state();
    const RunState& y = b_.state();
    const auto print_if_other = [](const char* what, const auto& mine, const auto& theirs) {
      if (mine != theirs) log::info("differs: {} {} | {}", what, mine, theirs);
    };
    print_if_other("iteration", x.iteration, y.iteration);
    print_if_other("samples consumed", x.samples_consumed, y.samples_consumed);
    print_if_other("optimizer steps", x.optimizer_steps, y.optimizer_steps);
    print_if_other("seed", x.seed, y.seed);
    print_if_other("loss scale", x.loss_scale, y.loss_scale);
    print_if_other("steps without overflow", x.clean_steps, y.clean_steps);
    print_if_other("hysteresis", x.hysteresis, y.hysteresis);
    print_if_other("mesh", x.mesh, y.mesh);
    print_if_other("version", x.version, y.version);
    if (x.deck != y.deck) log::info("differs: deck (--deck without --diff prints each)");
  }

  /// Prints the line of one tensor.
  void print(const std::string& name, Progress& progress) {
    const auto line = [&](const std::string& text, bool equal) {
      log::info("{:<{}}  {}", name, width_, text);
      if (!equal && differing_++ == 0) first_ = name;
    };
    const auto kind = [&](const CheckpointReader& of) {
      return fmt::format("{} {}", name_of(of.dtype(name)), of.global_shape(name).str());
    };
    if (!a_.has(name) || !b_.has(name)) {
      return line(fmt::format("only in {}", (a_.has(name) ? a_ : b_).folder()), false);
    }
    if (!comparable(name)) return line(fmt::format("{} | {}", kind(a_), kind(b_)), false);
    const Difference d = compare(name, progress);
    if (d.first < 0) return line(fmt::format("{:>18}", "equal"), true);
    line(fmt::format("{:>18.6g}  {}", d.largest, place_text(a_.global_shape(name), d.first)),
         false);
  }

  Difference compare(const std::string& name, Progress& progress) {
    const Shape shape = a_.global_shape(name);
    const DType type = a_.dtype(name);
    const std::int64_t row = shape.count() / std::max<std::int64_t>(shape[0], 1);
    const auto bytes = static_cast<std::int64_t>(size_of(type));
    const std::int64_t rows =
        std::max<std::int64_t>(1, kSlabBytes / std::max<std::int64_t>(row * bytes, 1));
    Difference d;
    for (std::int64_t at = 0; at < shape[0]; at += rows) {
      Box box = Box::whole(shape);
      box.offset[0] = at;
      box.extent[0] = std::min(rows, shape[0] - at);
      const auto part = static_cast<std::size_t>(box.count() * bytes);
      mine_.resize(std::max(mine_.size(), part));
      theirs_.resize(mine_.size());
      const View x(mine_.data(), type, box.extent);
      const View y(theirs_.data(), type, box.extent);
      a_.read(name, box, x);
      b_.read(name, box, y);
      const Difference found = difference_of(x, y);
      if (found.first >= 0) add(d, at * row + found.first, found.largest);
      done_ += static_cast<double>(part) * 1e-6;
      progress.update(done_);
    }
    return d;
  }

  CheckpointReader& a_;
  CheckpointReader& b_;
  std::vector<std::string> names_;
  std::size_t width_ = 0;
  double total_ = 0;
  double done_ = 0;  ///< MB compared so far
  std::vector<std::byte> mine_;
  std::vector<std::byte> theirs_;
  std::size_t differing_ = 0;
  std::string first_;
};

}  // namespace

Difference difference_of(const ConstView& a, const ConstView& b) {
  TRM_CHECK(
      a.contiguous() && b.contiguous() && a.dtype() == b.dtype() && a.count() == b.count(),
      "{} {} compared with {} {}", name_of(a.dtype()), a.shape().str(), name_of(b.dtype()),
      b.shape().str());
  if (a.count() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0) return {};
  switch (a.dtype()) {
    case DType::f32:
      return differ<float>(a, b);
    case DType::f64:
      return differ<double>(a, b);
    case DType::f16:
      return differ<Half>(a, b);
    case DType::bf16:
      return differ<Bf16>(a, b);
    case DType::i32:
      return differ<std::int32_t>(a, b);
    case DType::i64:
      return differ<std::int64_t>(a, b);
    case DType::u8:
      return differ<std::uint8_t>(a, b);
    case DType::u16:
      return differ<std::uint16_t>(a, b);
    case DType::u32:
      return differ<std::uint32_t>(a, b);
    case DType::u64:
      return differ<std::uint64_t>(a, b);
  }
  throw Error("unknown element type");
}

bool in_model_order(const std::string& a, const std::string& b) {
  return key_of(a) < key_of(b);
}

bool print_differences(CheckpointReader& a, CheckpointReader& b) {
  return Comparison(a, b).run();
}

}  // namespace trireme
