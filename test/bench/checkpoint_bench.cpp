// SPDX-License-Identifier: Apache-2.0
// What test/bench/checkpoint.py measures, a case a run; rank 0 prints one line of JSON.
//
//   mpirun -np N checkpoint_bench write SAVE [--tensors T] [--mib M]   M MiB a rank, in T
//   tensors mpirun -np N checkpoint_bench read CHECKPOINT                      a Nth of each
//   tensor a rank checkpoint_bench crowd SAVE [--shards S] [--tensors T]             S ranks as
//   threads checkpoint_bench open CHECKPOINT                                   opens, reads one
//   tensor
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

#include <CLI/CLI.hpp>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/saver.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/comm/mpi.hpp"
#include "trireme/core/clock.hpp"

#include "../support/thread_ranks.hpp"

namespace trireme::bench {

namespace {

constexpr int kCopies = 5;  // of the state, for comparison: the median counts
constexpr std::int64_t kIteration = 1;
constexpr std::int64_t kWide = 4096;  // floats in a row
constexpr std::int64_t kCrowdRows = 4;
constexpr std::int64_t kCrowdCols = 16;

/// Element `i` of tensor `tensor`: between 1 and 2, and no two neighbours alike.
float element(std::uint64_t tensor, std::int64_t i) {
  std::uint64_t x = (static_cast<std::uint64_t>(i) + (tensor << 40U)) * 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 32U)) * 0xd6e8feb86659fd93U;
  return 1.0F + static_cast<float>(x >> 41U) * 0x1p-23F;
}

std::string tensor_name(int tensor) { return fmt::format("model/layers.{:03}.weight", tensor); }

/// Part `index` of `parts` along the first axis.
Box part_of(const Shape& global, int index, int parts) {
  Box box = Box::whole(global);
  box.offset[0] = global[0] * index / parts;
  box.extent[0] = global[0] * (index + 1) / parts - box.offset[0];
  return box;
}

/// One rank's rows of tensors of one shape.
struct Cut {
  std::vector<Box> boxes;
  std::vector<std::vector<float>> values;

  Cut(const std::vector<Shape>& shapes, int index, int parts) {
    for (const Shape& s : shapes) {
      boxes.push_back(part_of(s, index, parts));
      values.emplace_back(static_cast<std::size_t>(boxes.back().count()));
    }
  }
  [[nodiscard]] std::int64_t first(std::size_t t) const {
    return boxes[t].offset[0] * boxes[t].extent.cols();
  }
  void fill() {
    for (std::size_t t = 0; t < values.size(); ++t) {
      for (std::size_t i = 0; i < values[t].size(); ++i) {
        values[t][i] = element(t, first(t) + static_cast<std::int64_t>(i));
      }
    }
  }
  /// Throws Error where some of the elements are not fill()'s.
  void check(std::size_t t) const {
    for (std::size_t i = 0; i < values[t].size(); i += 61) {
      TRM_REQUIRE(values[t][i] == element(t, first(t) + static_cast<std::int64_t>(i)),
                  "tensor {}: element {} was read as {}", t, i, values[t][i]);
    }
  }
  [[nodiscard]] std::vector<HeldPiece> held(const Shape& global) const {
    std::vector<HeldPiece> out;
    for (std::size_t t = 0; t < values.size(); ++t) {
      const ConstView data(values[t].data(), DType::f32, boxes[t].extent);
      out.push_back({{tensor_name(static_cast<int>(t)), global, boxes[t], data}});
    }
    return out;
  }
};

RunState state() {
  RunState s;
  s.iteration = kIteration;
  s.version = "bench";
  return s;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Seconds of the slowest rank from when all begin.
template <class F>
double timed(Communicator& world, F f) {
  world.barrier();
  const double start = now();
  f();
  return world.reduce_value(now() - start, Reduction::max);
}

/// All ranks copy their state at once, to memory that is there already.
double copy_seconds(const Cut& cut, Communicator& world) {
  std::size_t bytes = 0;
  for (const auto& v : cut.values) bytes += v.size() * sizeof(float);
  const auto to = std::make_unique<std::byte[]>(bytes);
  std::vector<double> seconds;
  for (int i = 0; i < kCopies; ++i) {
    seconds.push_back(timed(world, [&] {
      std::size_t at = 0;
      for (const auto& v : cut.values) {
        std::memcpy(to.get() + at, v.data(), v.size() * sizeof(float));
        at += v.size() * sizeof(float);
      }
    }));
  }
  return median(seconds);
}

void require_saved(const SaveReport& report) {
  TRM_REQUIRE(report.failure.empty(), "{}", report.failure);
}

void write(const std::string& folder, int tensors, std::int64_t mib, Communicator& world) {
  const std::int64_t rows = (mib << 20U) / tensors / kWide / 4;
  const Shape global{rows * world.size(), kWide};
  Cut cut(std::vector<Shape>(static_cast<std::size_t>(tensors), global), world.rank(),
          world.size());
  cut.fill();
  const double copying = copy_seconds(cut, world);
  SaveOptions options;
  options.folder = folder;
  CheckpointSaver saver(options, cut.held(global), std::nullopt, world);
  while (!saver.idle()) std::this_thread::yield();  // until its memory is there
  SaveReport report;
  const double seconds = timed(world, [&] {
    saver.start(state());
    report = saver.wait().value();
  });
  require_saved(report);
  if (world.rank() != 0) return;
  fmt::print(R"({{"bytes": {}, "seconds": {}, "write_seconds": {}, "stall_seconds": {}, )"
             R"("copy_seconds": {}}})"
             "\n",
             report.bytes, seconds, report.write_seconds, report.stall_seconds, copying);
}

void read(const std::string& folder, Communicator& world) {
  std::vector<Shape> shapes;
  std::vector<std::string> names;
  {
    const CheckpointReader reader(folder);
    names = reader.names();
    for (const auto& name : names) shapes.push_back(reader.global_shape(name));
  }
  Cut cut(shapes, world.rank(), world.size());
  const double seconds = timed(world, [&] {
    collectively(world, [&] {
      CheckpointReader reader(folder);
      for (std::size_t t = 0; t < names.size(); ++t) {
        reader.read(names[t], cut.boxes[t],
                    View(cut.values[t].data(), DType::f32, cut.boxes[t].extent));
      }
    });
  });
  for (std::size_t t = 0; t < names.size(); ++t) cut.check(t);
  std::int64_t bytes = 0;
  for (const Shape& s : shapes) bytes += s.count() * 4;
  if (world.rank() == 0) fmt::print("{{\"bytes\": {}, \"seconds\": {}}}\n", bytes, seconds);
}

/// Many ranks and small tensors: what a save costs in names.
void crowd(const std::string& folder, int shards, int tensors) {
  const Shape global{kCrowdRows * shards, kCrowdCols};
  double planned = 0;
  double saved = 0;
  std::size_t told = 0;  // to rank 0 while planning
  std::size_t gathered = 0;
  const auto rank = [&](Communicator& world) {
    const int r = world.rank();
    Cut cut(std::vector<Shape>(static_cast<std::size_t>(tensors), global), r, shards);
    cut.fill();
    SaveOptions options;
    options.folder = folder;
    const double start = now();
    CheckpointSaver saver(options, cut.held(global), std::nullopt, world);
    if (r == 0) {
      planned = now() - start;
      told = gathered;
    }
    saver.start(state());
    const SaveReport report = saver.wait().value();
    if (r != 0) return;
    require_saved(report);
    saved = report.total_seconds;
  };
  const std::string problem = test::as_ranks(shards, rank, {.gathered = &gathered});
  TRM_REQUIRE(problem.empty(), "{}", problem);
  const auto index = fmt::format("{}/global_step{}/checkpoint.h5", folder, kIteration);
  fmt::print(R"({{"plan_seconds": {}, "save_seconds": {}, "plan_text_bytes": {}, )"
             R"("save_text_bytes": {}, "index_bytes": {}}})"
             "\n",
             planned, saved, told, gathered - told, std::filesystem::file_size(index));
}

void open(const std::string& folder) {
  const double start = now();
  CheckpointReader reader(folder);
  const auto names = reader.names();
  const double opened = now();
  const std::size_t middle = names.size() / 2;
  const std::string& name = names.at(middle);
  const Shape global = reader.global_shape(name);
  std::vector<float> values(static_cast<std::size_t>(global.count()));
  reader.read(name, Box::whole(global), View(values.data(), DType::f32, global));
  const double done = now();
  for (std::size_t i = 0; i < values.size(); ++i) {
    TRM_REQUIRE(values[i] == element(middle, static_cast<std::int64_t>(i)),
                "{}: element {} was read as {}", name, i, values[i]);
  }
  fmt::print("{{\"open_seconds\": {}, \"read_seconds\": {}, \"pieces\": {}}}\n", opened - start,
             done - opened, reader.pieces(name));
}

int run(int argc, char** argv) {
  CLI::App app("Measures checkpoints.");
  std::string folder;
  int tensors = 4;
  std::int64_t mib = 512;
  int shards = 1000;
  auto* write_case = app.add_subcommand("write");
  auto* read_case = app.add_subcommand("read");
  auto* crowd_case = app.add_subcommand("crowd");
  auto* open_case = app.add_subcommand("open");
  for (auto* c : {write_case, read_case, crowd_case, open_case}) {
    c->add_option("folder", folder)->required();
  }
  for (auto* c : {write_case, crowd_case}) c->add_option("--tensors", tensors);
  write_case->add_option("--mib", mib);
  crowd_case->add_option("--shards", shards);
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  if (*crowd_case) {
    crowd(folder, shards, tensors);
  } else if (*open_case) {
    open(folder);
  } else {
    MpiSession mpi(argc, argv);
    try {
      if (*write_case) write(folder, tensors, mib, mpi.world());
      if (*read_case) read(folder, mpi.world());
    } catch (const Error& e) {
      fmt::print(stderr, "checkpoint_bench: {}\n", e.what());
      std::fflush(stderr);
      abort_all_ranks(1);
    }
  }
  return 0;
}

}  // namespace

}  // namespace trireme::bench

int main(int argc, char** argv) {
  try {
    return trireme::bench::run(argc, argv);
  } catch (const trireme::Error& e) {
    fmt::print(stderr, "checkpoint_bench: {}\n", e.what());
    return 1;
  }
}
