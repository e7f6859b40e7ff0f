// SPDX-License-Identifier: Apache-2.0
// The manifest's text, its arrays in checkpoint.h5, and tilings.
#include "manifest.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

namespace trireme::checkpoint {

namespace {

constexpr const char* kGroup = "manifest";
constexpr std::size_t kMostTensors = 1U << 22U;
constexpr int kMostGroups = 16;  // levels: a damaged file may hold a circle
constexpr std::int64_t kMostElements = std::int64_t{1} << 59U;  // times any type's size fits

std::string path_of(const std::string& name) { return fmt::format("{}/{}", kGroup, name); }

std::string words(const Shape& shape) {
  return fmt::format("{}", fmt::join(shape.extents(), " "));
}

Shape shape_from(std::istream& in, int rank) {
  Shape shape;
  std::vector<std::int64_t> extents(static_cast<std::size_t>(rank));
  for (auto& e : extents) in >> e;
  return Shape(extents);
}

DType dtype_named(const std::string& text) {
  for (const DType t : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i32, DType::i64,
                        DType::u8, DType::u16, DType::u32, DType::u64}) {
    if (name_of(t) == text) return t;
  }
  throw Error(fmt::format("unknown element type {}", text));
}

/// The axis along which most parts begin at different places: the best one to sweep.
int widest_axis(const std::vector<Box>& parts) {
  int best = 0;
  std::size_t most = 0;
  for (int axis = 0; axis < parts.front().offset.rank(); ++axis) {
    std::set<std::int64_t> places;
    for (const Box& p : parts) places.insert(p.offset[axis]);
    if (places.size() > most) {
      most = places.size();
      best = axis;
    }
  }
  return best;
}

void collect(const h5::Group& group, const std::string& prefix, int level,
             std::vector<std::string>& names) {
  TRM_REQUIRE(level < kMostGroups, "{}: groups in groups without end", group.where());
  for (const auto& member : group.names()) {
    TRM_REQUIRE(names.size() < kMostTensors, "{}: too many tensors", group.where());
    const std::string name = prefix + member;
    if (group.has_dataset(member)) {
      names.push_back(name);
    } else {
      collect(group.group(member), name + "/", level + 1, names);
    }
  }
}

Shape checked_shape(const std::vector<std::int64_t>& extents) {
  TRM_REQUIRE(extents.size() <= Shape::kMaxRank, "it has {} axes", extents.size());
  std::int64_t count = 1;
  for (const std::int64_t e : extents) {
    TRM_REQUIRE(e >= 0 && (e == 0 || count <= kMostElements / e),
                "its global shape [{}] is none", fmt::join(extents, ", "));
    count *= e;
  }
  return Shape(extents);
}

}  // namespace

void require_name(const std::string& name) {
  bool good = !name.empty() && name.front() != '/' && name.back() != '/';
  std::istringstream parts(name);
  for (std::string part; std::getline(parts, part, '/');) {
    good = good && !part.empty() && part != "." && part != "..";
  }
  for (const char c : name) good = good && c > ' ' && c < '\x7f' && c != '@';
  TRM_REQUIRE(good, "\"{}\" can't be the name of a tensor in a checkpoint", name);
}

std::string tiling_error(const Box& region, std::vector<Box> parts) {
  std::int64_t stored = 0;
  if (!parts.empty()) {
    const int axis = widest_axis(parts);
    const bool scalar = region.offset.rank() == 0;
    const auto begin = [&](const Box& b) { return scalar ? 0 : b.offset[axis]; };
    const auto end = [&](const Box& b) { return scalar ? 1 : b.offset[axis] + b.extent[axis]; };
    std::sort(parts.begin(), parts.end(),
              [&](const Box& a, const Box& b) { return begin(a) < begin(b); });
    for (std::size_t i = 0; i < parts.size(); ++i) {
      stored += parts[i].count();
      for (std::size_t j = i + 1; j < parts.size() && begin(parts[j]) < end(parts[i]); ++j) {
        const auto common = intersect(parts[i], parts[j]);
        if (!common) continue;
        return fmt::format("two pieces overlap at {}, extent {}", common->offset.str(),
                           common->extent.str());
      }
    }
  }
  if (stored == region.count()) return {};
  return fmt::format("pieces hold {} of {} elements", stored, region.count());
}

std::string dataset_name(const std::string& name, const Box& box) {
  return fmt::format("{}@{}", name, fmt::join(box.offset.extents(), ","));
}

std::string line_of(const std::string& name, DType dtype, const Shape& global, const Box& box) {
  return fmt::format("{} {} {} {} {} {}\n", name, name_of(dtype), global.rank(), words(global),
                     words(box.offset), words(box.extent));
}

void add_lines(Manifest& manifest, const std::string& lines, std::int64_t shard) {
  std::istringstream in(lines);
  std::string name;
  std::string type;
  int rank = 0;
  while (in >> name >> type >> rank) {
    const DType dtype = dtype_named(type);
    const Shape global = shape_from(in, rank);
    Piece piece{shard, {shape_from(in, rank), shape_from(in, rank)}};
    TRM_CHECK(!in.fail(), "rank {}: not a list of pieces", shard);
    const auto [at, is_new] = manifest.try_emplace(name, Entry{dtype, global, {}});
    Entry& entry = at->second;
    TRM_REQUIRE(entry.dtype == dtype && entry.global == global,
                "{}: rank {} has it as {} {}, another rank as {} {}", name, shard,
                name_of(dtype), global.str(), name_of(entry.dtype), entry.global.str());
    if (piece.box.count() > 0) entry.pieces.push_back(piece);
  }
}

void require_tilings(const Manifest& manifest) {
  for (const auto& [name, entry] : manifest) {
    std::vector<Box> boxes;
    for (const Piece& p : entry.pieces) boxes.push_back(p.box);
    const std::string error = tiling_error(Box::whole(entry.global), std::move(boxes));
    TRM_REQUIRE(error.empty(), "{} of shape {}: {}", name, entry.global.str(), error);
  }
}

void save_manifest(h5::File& file, const Manifest& manifest) {
  file.create_group(kGroup);
  for (const auto& [name, entry] : manifest) {
    std::vector<std::int64_t> rows;
    for (const Piece& p : entry.pieces) {
      rows.push_back(p.shard);
      for (const std::int64_t o : p.box.offset.extents()) rows.push_back(o);
      for (const std::int64_t e : p.box.extent.extents()) rows.push_back(e);
    }
    const Shape shape{static_cast<std::int64_t>(entry.pieces.size()),
                      1 + 2 * entry.global.rank()};
    auto dataset = file.create_dataset(path_of(name), DType::i64, shape, {.checksum = true});
    if (!rows.empty()) dataset.write(ConstView(rows.data(), DType::i64, shape));
    const auto extents = entry.global.extents();
    dataset.set_attribute("shape", std::vector<std::int64_t>(extents.begin(), extents.end()));
    dataset.set_attribute("dtype", std::string(name_of(entry.dtype)));
  }
}

std::vector<std::string> manifest_names(const h5::File& file) {
  std::vector<std::string> names;
  collect(file.group(kGroup), "", 0, names);
  std::sort(names.begin(), names.end());
  return names;
}

bool in_manifest(const h5::File& file, const std::string& name) {
  require_name(name);
  return file.has_dataset(path_of(name));
}

Entry load_entry(const h5::File& file, const std::string& name) {
  TRM_REQUIRE(in_manifest(file, name), "the checkpoint does not hold it");
  const h5::Dataset dataset = file.dataset(path_of(name));
  Entry entry{dtype_named(dataset.text("dtype")), checked_shape(dataset.integers("shape")), {}};
  const int rank = entry.global.rank();
  const Shape shape = dataset.shape();
  const auto most = static_cast<std::int64_t>(std::filesystem::file_size(file.path()));
  TRM_REQUIRE(dataset.dtype() == DType::i64 && shape.rank() == 2 && shape[1] == 1 + 2 * rank &&
                  shape[0] <= most / 8 / shape[1],
              "its list of pieces is damaged");
  std::vector<std::int64_t> rows(static_cast<std::size_t>(shape.count()));
  if (!rows.empty()) dataset.read(View(rows.data(), DType::i64, shape));
  const auto width = static_cast<std::size_t>(rank);
  for (auto row = rows.begin(); row != rows.end(); row += shape[1]) {
    const bool positive = std::all_of(row, row + shape[1], [](auto v) { return v >= 0; });
    TRM_REQUIRE(positive, "its list of pieces holds a negative number");
    const Box box(Shape(std::span(&row[0] + 1, width)),
                  Shape(std::span(&row[0] + 1 + width, width)));
    TRM_REQUIRE(box.inside(entry.global) && box.count() > 0,
                "a piece at {} of extent {} is not inside of {}", box.offset.str(),
                box.extent.str(), entry.global.str());
    entry.pieces.push_back({*row, box});
  }
  return entry;
}

}  // namespace trireme::checkpoint
