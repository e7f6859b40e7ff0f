// SPDX-License-Identifier: Apache-2.0
// Broadcasts slices of rank 0's arrays, and finds each array's largest difference.
#include "compare.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "trireme/core/convert.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kSliceBytes = std::int64_t{64} << 20U;
constexpr double kSmallestShare = 1e-6;  // VerifyBounds explains this share
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What relative differences are relative to, by array.
std::vector<double> scales_of(const std::vector<const HostArray*>& arrays) {
  std::vector<double> scales;
  for (const HostArray* a : arrays) scales.push_back(a->largest());
  double most = 0;
  for (const double s : scales) most = std::max(most, s);
  for (double& s : scales) s = std::max(s, kSmallestShare * most);
  return scales;
}

double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  const double d = std::abs(a - b);
  return std::isnan(d) ? kInfinity : d;
}

double relative(double distance, double scale) {
  if (distance <= 0) return 0;
  return scale > 0 ? distance / scale : kInfinity;
}

/// The rows of `box`, counted within the box, that `slice` has.
ConstView rows_within(const ConstView& data, const Box& box, const Box& common) {
  const std::int64_t rows = box.extent[0];
  return data.reshape(Shape{rows, data.count() / rows})
      .slice_rows(common.offset[0] - box.offset[0], common.extent[0]);
}

/// Row-major index of an element of `box`.
std::int64_t index_in(const Box& box, const Shape& at) {
  std::int64_t index = 0;
  for (int a = 0; a < at.rank(); ++a) index = index * box.extent[a] + at[a] - box.offset[a];
  return index;
}

/// The element of a box with this row-major index, in the global array.
Shape element_of(const Box& box, std::int64_t index) {
  Shape at = box.offset;
  for (int a = at.rank() - 1; a >= 0; --a) {
    at[a] += index % box.extent[a];
    index /= box.extent[a];
  }
  return at;
}

/// The comparison of all arrays on one rank.
class Comparison {
 public:
  Comparison(const Exec& ex, Communicator& world, const std::vector<ComparedArray>& arrays,
             const UpdateSlack* slack)
      : ex_(ex), world_(world), arrays_(arrays), slack_(slack), findings_(arrays.size()) {}

  std::vector<Finding> run() {
    broadcast_scales();
    for (std::size_t i = 0; i < arrays_.size(); ++i) compare(i);
    gather();
    return std::move(findings_);
  }

 private:
  [[nodiscard]] std::size_t updates() const { return slack_ ? slack_->updates.size() : 0; }
  [[nodiscard]] bool has_reference() const { return world_.rank() == 0; }

  /// scales_[0] are the references', and scales_[1 + s] those of update s's gradients.
  void broadcast_scales() {
    std::vector<const HostArray*> references;
    for (const ComparedArray& a : arrays_) references.push_back(a.reference);
    for (std::size_t s = 0; s <= updates(); ++s) {
      std::vector<double> scales(arrays_.size());
      if (has_reference()) {
        scales = scales_of(s == 0 ? references : slack_->updates[s - 1].gradients);
      }
      world_.broadcast(
          View(scales.data(), DType::f64, Shape{static_cast<std::int64_t>(scales.size())}), 0);
      scales_.push_back(std::move(scales));
    }
  }

  void compare(std::size_t i) {
    const Shape& shape = arrays_[i].shape;
    const std::int64_t row = shape.count() / shape[0];
    const std::int64_t rows = std::max<std::int64_t>(
        1, kSliceBytes / (row * static_cast<std::int64_t>(sizeof(float))));
    for (std::int64_t at = 0; at < shape[0]; at += rows) {
      Box slice = Box::whole(shape);
      slice.offset[0] = at;
      slice.extent[0] = std::min(rows, shape[0] - at);
      broadcast(i, slice);
      for (const LocalBox& mine : arrays_[i].mine) {
        if (const auto common = intersect(mine.box, slice)) compare(i, slice, mine, *common);
      }
    }
  }

  /// slices_[0] is the reference's, and slices_[1 + s] that of update s's gradients.
  void broadcast(std::size_t i, const Box& slice) {
    slices_.resize(1 + updates());
    const std::int64_t row = slice.count() / slice.extent[0];
    for (std::size_t s = 0; s < slices_.size(); ++s) {
      std::vector<float>& to = slices_[s];
      to.resize(static_cast<std::size_t>(slice.count()));
      if (has_reference()) {
        const HostArray& from =
            s == 0 ? *arrays_[i].reference : *slack_->updates[s - 1].gradients[i];
        std::copy_n(from.values.begin() + slice.offset[0] * row, slice.count(), to.begin());
      }
      world_.broadcast(View(to.data(), DType::f32, Shape{slice.count()}), 0);
    }
  }

  void compare(std::size_t i, const Box& slice, const LocalBox& local, const Box& common) {
    std::vector<float> copy;
    const float* mine = nullptr;
    if (local.device.empty()) {
      const ConstView all(local.host.data(), DType::f32, local.box.extent);
      mine = rows_within(all, local.box, common).data<float>();
    } else {
      copy = to_host(ex_, rows_within(local.device, local.box, common));
      mine = copy.data();
    }
    Finding& most = findings_[i];
    const std::int64_t run = common.extent[common.extent.rank() - 1];
    for (std::int64_t k = 0; k < common.count(); k += run) {
      const std::int64_t in_slice = index_in(slice, element_of(common, k));
      for (std::int64_t j = 0; j < run; ++j) {
        const double got = mine[k + j];
        const double expected = slices_[0][static_cast<std::size_t>(in_slice + j)];
        double apart = distance(got, expected);
        if (apart > 0 && slack_) apart -= slack_at(i, static_cast<std::size_t>(in_slice + j));
        const double difference = relative(apart, scales_[0][i]);
        if (difference <= most.difference) continue;
        most = {difference, world_.rank(), local.box, element_of(common, k + j), got, expected};
      }
    }
  }

  [[nodiscard]] double slack_at(std::size_t i, std::size_t element) const {
    double sum = 0;
    for (std::size_t s = 0; s < updates(); ++s) {
      sum += update_slack(slack_->optimizer, slack_->updates[s], slices_[1 + s][element],
                          scales_[1 + s][i], static_cast<int>(updates() - 1 - s));
    }
    return sum;
  }

  /// Replaces each finding by the largest of all ranks, the lowest rank's where ranks agree.
  void gather() {
    const std::size_t n = findings_.size();
    const auto view = [](auto& v, DType type) {
      return View(v.data(), type, Shape{static_cast<std::int64_t>(v.size())});
    };
    std::vector<double> most(n);
    std::ranges::transform(findings_, most.begin(), &Finding::difference);
    world_.all_reduce(view(most, DType::f64), Reduction::max);
    std::vector<std::int64_t> who(n, world_.size());
    for (std::size_t i = 0; i < n; ++i) {
      if (findings_[i].difference == most[i]) who[i] = world_.rank();
    }
    world_.all_reduce(view(who, DType::i64), Reduction::min);
    std::vector<double> facts(n * kFacts);
    for (std::size_t i = 0; i < n; ++i) {
      if (who[i] == world_.rank()) pack(findings_[i], &facts[i * kFacts]);
    }
    world_.all_reduce(view(facts, DType::f64), Reduction::sum);
    for (std::size_t i = 0; i < n; ++i) {
      TRM_CHECK(most[i] >= 0, "no rank holds any of compared array {}, {}", i,
                arrays_[i].shape.str());
      findings_[i] = unpack(&facts[i * kFacts], arrays_[i].shape);
      findings_[i].difference = most[i];
      findings_[i].rank = static_cast<int>(who[i]);
    }
  }

  static constexpr std::size_t kFacts = 2 + 3 * Shape::kMaxRank;

  static void pack(const Finding& f, double* to) {
    *to++ = f.got;
    *to++ = f.expected;
    for (const Shape* s : {&f.box.offset, &f.box.extent, &f.at}) {
      for (const std::int64_t x : s->extents()) *to++ = static_cast<double>(x);
    }
  }
  static Finding unpack(const double* from, const Shape& like) {
    Finding f;
    f.got = *from++;
    f.expected = *from++;
    for (Shape* s : {&f.box.offset, &f.box.extent, &f.at}) {
      *s = like;
      for (int a = 0; a < like.rank(); ++a) (*s)[a] = static_cast<std::int64_t>(*from++);
    }
    return f;
  }

  const Exec& ex_;
  Communicator& world_;
  const std::vector<ComparedArray>& arrays_;
  const UpdateSlack* slack_;
  std::vector<std::vector<double>> scales_;
  std::vector<std::vector<float>> slices_;
  std::vector<Finding> findings_;
};

}  // namespace

double HostArray::largest() const {
  double most = 0;
  for (const float x : values) {
    if (std::isfinite(x)) most = std::max(most, std::abs(static_cast<double>(x)));
  }
  return most;
}

std::vector<float> to_host(const Exec& ex, const ConstView& data) {
  std::vector<std::byte> bytes(data.bytes());
  ex.device.copy_to_host(bytes.data(), data.raw(), bytes.size(), ex.stream);
  ex.stream.synchronize();
  std::vector<float> values(static_cast<std::size_t>(data.count()));
  widen(data.dtype(), bytes.data(), values.data(), data.count());
  return values;
}

double update_slack(OptimizerKind optimizer, const PastUpdate& update, double gradient,
                    double largest, int later) {
  const double off = update.bound * largest;
  if (optimizer == OptimizerKind::sgd) return update.lr * update.factor * off * (1 + later);
  const double size = std::abs(gradient);
  return 2 * update.lr * (size > off ? off / size : 1);
}

std::vector<Finding> compare_arrays(const Exec& ex, Communicator& world,
                                    const std::vector<ComparedArray>& arrays,
                                    const UpdateSlack* slack) {
  return Comparison(ex, world, arrays, slack).run();
}

}  // namespace trireme
