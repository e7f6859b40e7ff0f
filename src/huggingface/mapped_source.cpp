// SPDX-License-Identifier: Apache-2.0
// Reads a box by the runs of rows that overlap the box, a bounded piece at a time.
#include "mapped_source.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "trireme/core/convert.hpp"
#include "trireme/core/error.hpp"

namespace trireme::huggingface {

namespace {

constexpr std::int64_t kRegionElements = std::int64_t{1} << 22;

/// The elements [run, cross] of a run: rows of it, and the other axis. `strides` are those in
/// memory.
struct Strides {
  std::int64_t run = 1;
  std::int64_t cross = 1;
};

template <std::size_t kBytes>
void copy_elements(std::int64_t rows, std::int64_t columns, const std::byte* from,
                   const Strides& a, std::byte* to, const Strides& b) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::byte* source = from + i * a.run * static_cast<std::int64_t>(kBytes);
    std::byte* target = to + i * b.run * static_cast<std::int64_t>(kBytes);
    if (a.cross == 1 && b.cross == 1) {
      std::memcpy(target, source, static_cast<std::size_t>(columns) * kBytes);
      continue;
    }
    for (std::int64_t j = 0; j < columns; ++j) {
      std::memcpy(target + j * b.cross * static_cast<std::int64_t>(kBytes),
                  source + j * a.cross * static_cast<std::int64_t>(kBytes), kBytes);
    }
  }
}

/// A box as rows of runs and the axis across them.
struct Region {
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::int64_t column = 0;
  std::int64_t columns = 1;
};

Region region_of(const Box& box, bool transposed) {
  if (box.extent.rank() == 1) return {box.offset[0], box.extent[0], 0, 1};
  const int axis = transposed ? 1 : 0;
  return {box.offset[axis], box.extent[axis], box.offset[1 - axis], box.extent[1 - axis]};
}

Box box_of(const Region& r, int axes, bool transposed) {
  if (axes == 1) return {Shape{r.row}, Shape{r.rows}};
  if (transposed) return {Shape{r.column, r.row}, Shape{r.columns, r.rows}};
  return {Shape{r.row, r.column}, Shape{r.rows, r.columns}};
}

Strides strides_of(const Region& r, bool transposed) {
  return transposed ? Strides{1, r.rows} : Strides{r.columns, 1};
}

/// Fills one box of a tensor.
class Filling {
 public:
  Filling(WeightSource& from, const TensorMap& map, const Box& box, const View& to)
      : from_(from),
        map_(map),
        axes_(map.shape.rank()),
        region_(region_of(box, map.transposed_here)),
        to_(to) {}

  void add(const RowRun& run) {
    const std::int64_t end = region_.row + region_.rows;
    // The first index of the run at or behind a row.
    const auto index_at = [&](std::int64_t row) {
      return std::clamp<std::int64_t>((row - run.here + run.step_here - 1) / run.step_here, 0,
                                      run.count);
    };
    const std::int64_t first = region_.row <= run.here ? 0 : index_at(region_.row);
    const std::int64_t last = end <= run.here ? 0 : index_at(end);
    if (first >= last) return;
    const std::int64_t piece =
        std::max<std::int64_t>(1, kRegionElements / (region_.columns * run.step_there));
    for (std::int64_t i = first; i < last; i += piece) {
      add(run, i, std::min(piece, last - i));
    }
  }

 private:
  void add(const RowRun& run, std::int64_t i, std::int64_t count) {
    const DType type = from_.dtype(run.tensor);
    const Region there{run.there + i * run.step_there, (count - 1) * run.step_there + 1,
                       region_.column, region_.columns};
    const Box box = box_of(there, axes_, map_.transposed_there);
    Strides target = strides_of(region_, map_.transposed_here);
    const std::int64_t at = (run.here + i * run.step_here - region_.row) * target.run;
    std::byte* const place = static_cast<std::byte*>(to_.raw()) +
                             at * static_cast<std::int64_t>(size_of(to_.dtype()));
    const bool plain = !map_.transposed_here && !map_.transposed_there && run.step_here == 1 &&
                       run.step_there == 1 && type == to_.dtype();
    if (plain) {
      from_.read(run.tensor, box, View(place, type, box.extent));
      return;
    }
    stored_.resize(static_cast<std::size_t>(box.count()) * size_of(type));
    from_.read(run.tensor, box, View(stored_.data(), type, box.extent));
    convert(type, box.count());
    Strides source = strides_of(there, map_.transposed_there);
    source.run *= run.step_there;
    target.run *= run.step_here;
    if (size_of(to_.dtype()) == sizeof(float)) {
      copy_elements<4>(count, there.columns, stored_.data(), source, place, target);
    } else {
      copy_elements<2>(count, there.columns, stored_.data(), source, place, target);
    }
  }

  /// Gives stored_ the type of the result.
  void convert(DType type, std::int64_t count) {
    if (type == to_.dtype()) return;
    wide_.resize(static_cast<std::size_t>(count));
    widen(type, stored_.data(), wide_.data(), count);
    stored_.resize(wide_.size() * size_of(to_.dtype()));
    narrow(wide_.data(), to_.dtype(), stored_.data(), count);
  }

  WeightSource& from_;
  const TensorMap& map_;
  int axes_;
  Region region_;
  View to_;
  std::vector<std::byte> stored_;
  std::vector<float> wide_;
};

}  // namespace

const TensorMap& MappedSource::map_of(const std::string& name) const {
  const auto at = tensors_.find(name);
  TRM_REQUIRE(at != tensors_.end(), "the model has no tensor {}", name);
  return at->second;
}

bool MappedSource::has(const std::string& name) const { return tensors_.contains(name); }

Shape MappedSource::global_shape(const std::string& name) const { return map_of(name).shape; }

DType MappedSource::dtype(const std::string& name) const {
  const std::vector<RowRun>& runs = map_of(name).runs;
  const DType first = from_.dtype(runs.front().tensor);
  const bool same = std::ranges::all_of(
      runs, [&](const RowRun& run) { return from_.dtype(run.tensor) == first; });
  return same ? first : DType::f32;
}

std::vector<std::string> MappedSource::names() const {
  std::vector<std::string> names;
  for (const auto& [name, map] : tensors_) names.push_back(name);
  return names;
}

void MappedSource::read(const std::string& name, const Shape& global, const Box& box,
                        const View& to) {
  const TensorMap& map = map_of(name);
  TRM_REQUIRE(map.shape == global, "the tensor {} has shape {}, this run needs {}", name,
              map.shape.str(), global.str());
  TRM_CHECK(box.inside(global) && to.contiguous() && to.count() == box.count() &&
                (size_of(to.dtype()) == 4 || size_of(to.dtype()) == 2),
            "{}: {} {} to be filled with {} of {}", name, name_of(to.dtype()), to.shape().str(),
            box.extent.str(), global.str());
  if (box.count() == 0) return;
  Filling filling(from_, map, box, to);
  for (const RowRun& run : map.runs) filling.add(run);
}

}  // namespace trireme::huggingface
