// SPDX-License-Identifier: Apache-2.0
// Random models, saved under one random layout and read under another, with equal bits.
#include <array>
#include <filesystem>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/saver.hpp"

#include "../../support/temporary_folder.hpp"
#include "../../support/thread_ranks.hpp"
#include "../arrays.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

constexpr int kCases = 240;

class Draw {
 public:
  explicit Draw(unsigned seed) : engine_(seed) {}
  /// From 0 to n − 1.
  int below(std::int64_t n) { return static_cast<int>(engine_() % static_cast<unsigned>(n)); }
  int between(int low, int high) { return low + below(high - low + 1); }
  bool chance(int in) { return below(in) == 0; }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

std::vector<Array> random_model(Draw& draw) {
  constexpr std::array kTypes{DType::f32, DType::f32, DType::f64, DType::f16, DType::bf16,
                              DType::i32, DType::i64, DType::u8,  DType::u16, DType::u64};
  constexpr std::array kFolders{"model/", "optimizer/exp_avg/", "optimizer/master/", "x/y/z/",
                                ""};
  std::vector<Array> model;
  const int tensors = draw.between(1, 12);
  for (int t = 0; t < tensors; ++t) {
    const int axes = draw.between(1, 4);
    // At times more than the 64 KiB below which replicas divide nothing.
    const int longest = draw.chance(6) && axes < 3 ? 400 : axes == 1 ? 200 : 24 / axes;
    std::vector<std::int64_t> extents;
    for (int a = 0; a < axes; ++a) extents.push_back(draw.between(1, longest));
    const auto folder = kFolders[static_cast<std::size_t>(draw.below(kFolders.size()))];
    model.push_back({fmt::format("{}layers.{}.w%b", folder, t),
                     kTypes[static_cast<std::size_t>(draw.below(kTypes.size()))],
                     Shape(extents), static_cast<unsigned>(draw.below(1 << 30))});
  }
  return model;
}

struct Layout {
  int ranks = 1;
  std::vector<Part> parts;
};

/// Like a mesh: a tensor is on one pipeline stage, sharded along an axis over tp or whole, and
/// replicated on all ranks of dp.
void add_grid(Layout& layout, std::size_t array, const Box& whole, int dp, int tp, Draw& draw) {
  const int stages = layout.ranks / (dp * tp);
  const int first = draw.below(stages) * dp * tp;
  const bool cut = tp > 1 && !draw.chance(4);
  const int axis = draw.below(whole.extent.rank());
  for (int d = 0; d < dp; ++d) {
    for (int t = 0; t < tp; ++t) {
      const Box box = cut ? slice(whole, axis, t, tp) : whole;
      if (box.count() == 0) continue;
      const int rank = first + d * tp + t;
      if (cut) layout.parts.push_back({rank, array, box, d, dp});
      if (!cut) layout.parts.push_back({rank, array, box, d * tp + t, dp * tp});
    }
  }
}

/// Adds boxes that hold elements `begin` to `end` of `box`, counted in row-major order.
void add_span(Layout& layout, int rank, std::size_t array, const Box& box, int axis,
              std::int64_t begin, std::int64_t end) {
  if (begin >= end) return;
  std::int64_t row = 1;
  for (int a = axis + 1; a < box.extent.rank(); ++a) row *= box.extent[a];
  const auto rows = [&](std::int64_t from, std::int64_t count) {
    Box part = box;
    part.offset[axis] += from;
    part.extent[axis] = count;
    return part;
  };
  const std::int64_t full = (begin + row - 1) / row;  // the first row that is whole
  if (begin < full * row) {
    add_span(layout, rank, array, rows(full - 1, 1), axis + 1, begin - (full - 1) * row,
             std::min(end - (full - 1) * row, row));
  }
  const std::int64_t stop = end / row;
  if (stop > full) layout.parts.push_back({rank, array, rows(full, stop - full)});
  if (stop >= full && stop * row < end) {
    add_span(layout, rank, array, rows(stop, 1), axis + 1, 0, end - stop * row);
  }
}

Layout random_layout(const std::vector<Array>& model, Draw& draw) {
  Layout layout;
  const int dp = draw.between(1, 3);
  const int tp = draw.between(1, 3);
  const int pp = draw.between(1, std::max(1, 9 / (dp * tp)));
  layout.ranks = dp * tp * pp;
  const int way = draw.below(4);  // 3: a way of its own for each tensor
  for (std::size_t i = 0; i < model.size(); ++i) {
    const Box whole = Box::whole(model[i].global);
    switch (way == 3 ? draw.below(3) : way) {
      case 0:
        add_grid(layout, i, whole, dp, tp, draw);
        break;
      case 1: {  // like ZeRO: equal flat spans
        const std::int64_t n = whole.count();
        for (int r = 0; r < layout.ranks; ++r) {
          add_span(layout, r, i, whole, 0, n * r / layout.ranks, n * (r + 1) / layout.ranks);
        }
        break;
      }
      default: {
        std::vector<Box> boxes;
        split_at_random(whole, draw.between(0, 5), draw.engine(), boxes);
        for (const Box& b : boxes) layout.parts.push_back({draw.below(layout.ranks), i, b});
      }
    }
  }
  return layout;
}

SaveReport save(const std::string& folder, const std::vector<Array>& model,
                const Layout& layout, Draw& draw) {
  SaveOptions options;
  options.folder = folder;
  options.async = draw.chance(2);
  options.writers_per_node = draw.below(3);
  const int nodes = draw.between(1, 3);
  SaveReport out;
  const std::string error = as_ranks(layout.ranks, [&](Communicator& world) {
    SaveOptions mine = options;
    mine.node = fmt::format("node{}", world.rank() % nodes);
    Memory memory(model, layout.parts, world.rank());
    CheckpointSaver saver(mine, memory.held(), std::nullopt, world);
    saver.start(some_state(7));
    if (mine.async) memory.spoil();
    const SaveReport report = saver.wait().value();
    if (world.rank() == 0) out = report;
  });
  BOOST_TEST(error == "");
  return out;
}

void check_reading(const std::string& path, const std::vector<Array>& model,
                   const Layout& layout) {
  for (int r = 0; r < layout.ranks; ++r) {
    CheckpointReader reader(path);
    for (const Part& p : layout.parts) {
      if (p.rank != r || holds(reader, model[p.array], p.box)) continue;
      BOOST_ERROR(model[p.array].name << " differs at " << p.box.offset.str() << ", extent "
                                      << p.box.extent.str());
    }
  }
}

void check_whole(const std::string& path, const std::vector<Array>& model) {
  CheckpointReader reader(path);
  BOOST_TEST((reader.state() == some_state(7)));
  BOOST_TEST(reader.names().size() == model.size());
  for (const Array& a : model) {
    BOOST_TEST((reader.dtype(a.name) == a.dtype && reader.global_shape(a.name) == a.global));
  }
  std::int64_t verified = 0;
  reader.verify([&](std::int64_t bytes) { verified += bytes; });
  std::int64_t stored = 0;
  for (const auto& s : reader.shards()) stored += s.bytes;
  BOOST_TEST(verified == stored);
}

/// Reads the arrays where checkpoint.h5 says that they are, as other programs would.
void check_virtual(const std::string& path, const std::vector<Array>& model) {
  const h5::File file(path + "/checkpoint.h5", h5::Mode::read);
  for (const Array& a : model) {
    const h5::Dataset dataset = file.dataset(a.name);
    BOOST_TEST((dataset.dtype() == a.dtype && dataset.shape() == a.global));
    for (const h5::Source& s : dataset.sources()) {
      const h5::File shard(path + "/" + s.file, h5::Mode::read);
      const Bytes expected = content(a, s.box);
      Bytes data(expected.size());
      shard.dataset(s.dataset).read(View(data.data(), a.dtype, s.box.extent));
      BOOST_TEST((data == expected));
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(random_models_from_one_random_layout_to_another) {
  const TemporaryFolder folder(memory_folder());
  for (unsigned seed = 1; seed <= kCases; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Draw draw(seed);
      const auto model = random_model(draw);
      const Layout from = random_layout(model, draw);
      const Layout to = random_layout(model, draw);
      const auto report = save(folder / "save", model, from, draw);
      BOOST_TEST(report.failure == "");
      if (!report.failure.empty()) continue;
      std::int64_t bytes = 0;
      for (const Array& a : model) {
        bytes += a.global.count() * static_cast<std::int64_t>(size_of(a.dtype));
      }
      BOOST_TEST(report.bytes == bytes);  // no element is written twice
      fs::rename(folder / "save/global_step7", folder / "elsewhere");
      check_reading(folder / "elsewhere", model, to);
      check_whole(folder / "elsewhere", model);
      check_virtual(folder / "elsewhere", model);
      fs::remove_all(folder / "elsewhere");
    }
  }
}
