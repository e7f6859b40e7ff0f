// SPDX-License-Identifier: Apache-2.0
// The manifest's text, and checks that boxes tile a region.
#include "manifest.hpp"

#include <algorithm>
#include <set>
#include <sstream>

#include "trireme/core/error.hpp"

namespace trireme::checkpoint {

namespace {

std::string words(const Shape& shape) {
  return fmt::format("{}", fmt::join(shape.extents(), " "));
}

Shape shape_from(std::istream& in, int rank) {
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

/// The axis along which most boxes begin at different offsets: the best axis to sweep.
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

}  // namespace

void require_name(const std::string& name) {
  bool good = !name.empty() && name.front() != '/' && name.back() != '/';
  std::istringstream parts(name);
  for (std::string part; std::getline(parts, part, '/');) {
    good = good && !part.empty() && part != "." && part != "..";
  }
  for (const char c : name) good = good && c > ' ' && c < '\x7f' && c != '@';
  good = good && name != "storage" && !name.starts_with("storage/");  // lists the shards
  TRM_REQUIRE(good, "\"{}\" can't be the name of a tensor in a checkpoint", name);
}

std::string tiling_error(const Box& region, std::vector<Box> parts) {
  std::int64_t stored = 0;
  if (!parts.empty()) {
    const int axis = widest_axis(parts);
    const auto begin = [&](const Box& b) { return b.offset[axis]; };
    const auto end = [&](const Box& b) { return b.offset[axis] + b.extent[axis]; };
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

std::string text_of(const Line& line) {
  return fmt::format("{} {} {} {} {} {}\n", line.name, name_of(line.dtype), line.global.rank(),
                     words(line.global), words(line.box.offset), words(line.box.extent));
}

std::vector<Line> lines_of(const std::string& text) {
  std::vector<Line> lines;
  std::istringstream in(text);
  std::string name;
  std::string type;
  int rank = 0;
  while (in >> name >> type >> rank) {
    const Shape global = shape_from(in, rank);
    const Shape offset = shape_from(in, rank);
    const Shape extent = shape_from(in, rank);
    TRM_CHECK(!in.fail(), "not a list of pieces");
    lines.push_back({name, dtype_named(type), global, Box(offset, extent)});
  }
  return lines;
}

void add(Manifest& manifest, const std::vector<Line>& lines, std::int64_t shard) {
  for (const Line& line : lines) {
    const auto [at, is_new] =
        manifest.try_emplace(line.name, Entry{line.dtype, line.global, {}});
    Entry& entry = at->second;
    TRM_REQUIRE(entry.dtype == line.dtype && entry.global == line.global,
                "{}: rank {} has it as {} {}, another rank as {} {}", line.name, shard,
                name_of(line.dtype), line.global.str(), name_of(entry.dtype),
                entry.global.str());
    entry.places.push_back({shard, line.box});
  }
}

void require_tilings(const Manifest& manifest) {
  for (const auto& [name, entry] : manifest) {
    for (auto at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1)) {
      TRM_REQUIRE(!manifest.contains(name.substr(0, at)),
                  "{} is a tensor, so no tensor can be named {}", name.substr(0, at), name);
    }
    std::vector<Box> boxes;
    boxes.reserve(entry.places.size());
    for (const Place& p : entry.places) boxes.push_back(p.box);
    const std::string error = tiling_error(Box::whole(entry.global), std::move(boxes));
    TRM_REQUIRE(error.empty(), "{} of shape {}: {}", name, entry.global.str(), error);
  }
}

}  // namespace trireme::checkpoint
