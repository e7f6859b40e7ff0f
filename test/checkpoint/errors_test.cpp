// SPDX-License-Identifier: Apache-2.0
// Saves that must fail: all ranks get the error, and older checkpoints stay.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/saver.hpp"

#include "../support/error_of.hpp"
#include "world.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

const Shape kGlobal{64, 100};
const Array kArray{"model/w", DType::f32, kGlobal, 1};

/// The message of a saver that must refuse what `held` gives each rank.
std::string error_of_plan(const std::vector<HeldPiece>& held, int writers_per_node = 0) {
  SaveOptions options;
  options.folder = "nowhere";
  options.writers_per_node = writers_per_node;
  const std::string message =
      error_of_all([&] { const CheckpointSaver saver(options, held, std::nullopt, world()); });
  BOOST_TEST(!fs::exists("nowhere"));
  return message;
}

/// Rows of model/w; no test reads their elements.
HeldPiece rows(std::int64_t begin, std::int64_t count, const Shape& global = kGlobal,
               DType dtype = DType::f32) {
  static const std::vector<double> data(static_cast<std::size_t>(kGlobal.count()) * 2);
  const Box box(Shape{begin, 0}, Shape{count, global.cols()});
  return {{"model/w", global, box, ConstView(data.data(), dtype, box.extent)}, 0, 1};
}

HeldPiece named(const std::string& name) {
  static const float x = 0;
  const Box box = Box::whole(Shape{1});
  return {{name, Shape{1}, box, ConstView(&x, DType::f32, Shape{1})}, 0, 1};
}

using Held = std::vector<HeldPiece>;
Held on_first(const HeldPiece& piece) { return me() == 0 ? Held{piece} : Held{}; }
Held on_last(const HeldPiece& piece) { return last() ? Held{piece} : Held{}; }
Held both(Held a, const Held& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A saver over a folder with a good checkpoint of iteration 8. Rank 0 calls `spoil` before a
/// save of 9, which must fail on all ranks, and `mend` before the next save of 9. A reader then
/// takes the checkpoint of iteration `found`.
std::string failure_of(const std::function<void(const std::string& save)>& spoil,
                       const std::function<void(const std::string& save)>& mend,
                       std::int64_t found = 8) {
  const SharedFolder folder;
  const std::string path = folder / "save";
  (void)save(path, {kArray}, Cut::first_axis, 8);
  const auto parts = parts_of({kArray}, Cut::first_axis, ranks());
  const Memory memory({kArray}, parts, me());
  SaveOptions options;
  options.folder = path;
  CheckpointSaver saver(options, memory.held(), std::nullopt, world());
  once([&] { spoil(path); });
  saver.start(some_state(9));
  const std::string failure = saver.wait().value().failure;
  BOOST_TEST(!failure.empty());
  BOOST_TEST(world().broadcast_text(failure, 0) == failure);
  BOOST_TEST(!saver.under_way());
  {
    CheckpointReader reader(find_checkpoints(path).paths.at(0));
    BOOST_TEST(reader.state().iteration == found);
    BOOST_TEST(holds(reader, kArray));
  }
  once([&] { mend(path); });
  saver.start(some_state(9));
  BOOST_TEST(saver.wait().value().failure == "");
  CheckpointReader reader(find_checkpoints(path).paths.at(0));
  BOOST_TEST(reader.state().iteration == 9);
  BOOST_TEST(holds(reader, kArray));
  return failure;
}

/// A file system of 3 MiB, where mounting is permitted.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    bool mounted = false;
    once([&] {
      fs::create_directory(path);
      mounted = mount("none", path.c_str(), "tmpfs", 0, "size=3m") == 0;
    });
    mounted_ = world().reduce_count(mounted ? 1 : 0, Reduction::max) > 0;
    if (!mounted_) BOOST_TEST_MESSAGE("not permitted to mount a small disk: not tested");
  }
  ~SmallDisk() {
    once([&] {
      if (mounted_) umount2(path_.c_str(), MNT_DETACH);
    });
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }

 private:
  std::string path_;
  bool mounted_ = false;
};

}  // namespace

BOOST_AUTO_TEST_CASE(pieces_must_tile_their_tensor) {
  TRM_TEST_MENTIONS(error_of_plan(on_last(rows(1, 63))),
                    "model/w of shape [64, 100]: pieces hold 6300 of 6400 elements");
  TRM_TEST_MENTIONS(error_of_plan(both(on_first(rows(0, 33)), on_last(rows(32, 32)))),
                    "model/w of shape [64, 100]: two pieces overlap at [32, 0]");
  TRM_TEST_MENTIONS(error_of_plan(both(on_first(rows(0, 64)), on_last(rows(0, 64)))),
                    "two pieces overlap at [0, 0]");
  // The right number of rows, but one row twice and another row never.
  TRM_TEST_MENTIONS(error_of_plan(both(on_first(rows(0, 33)), on_last(rows(32, 31)))),
                    "two pieces overlap at [32, 0]");
  TRM_TEST_MENTIONS(error_of_plan(on_last(rows(1, 63)), 1), "pieces hold 6300 of 6400");
}

BOOST_AUTO_TEST_CASE(replicas_must_be_complete) {
  HeldPiece piece = rows(0, 128, Shape{128, 100}, DType::f64);  // enough to be divided
  piece.replicas = 2;
  TRM_TEST_MENTIONS(error_of_plan(on_last(piece)), "pieces hold 6400 of 12800");
  piece.replica = 2;
  TRM_TEST_MENTIONS(error_of_plan(on_last(piece)), "replica 2 of 2");
}

BOOST_AUTO_TEST_CASE(pieces_that_make_no_sense) {
  TRM_TEST_MENTIONS(error_of_plan(on_last(rows(60, 5))), "model/w");
  TRM_TEST_MENTIONS(
      error_of_plan(both(on_first(rows(0, 32)), on_last(rows(32, 32, Shape{64, 101})))),
      "[64, 101]");
  TRM_TEST_MENTIONS(
      error_of_plan(both(on_first(rows(0, 32)), on_last(rows(32, 32, kGlobal, DType::f64)))),
      "model/w");
  HeldPiece other = rows(0, 64);
  other.piece.box = Box::whole(Shape{32, 200});
  TRM_TEST_MENTIONS(error_of_plan(on_last(other)), "model/w");
  HeldPiece scalar = rows(0, 64);
  scalar.piece.global = Shape{};
  scalar.piece.box = Box::whole(Shape{});
  scalar.piece.data = ConstView(scalar.piece.data.raw(), DType::f32, Shape{});
  TRM_TEST_MENTIONS(error_of_plan(on_last(scalar)), "model/w");
}

BOOST_AUTO_TEST_CASE(names_that_cannot_be) {
  for (const std::string name : {"", "/", "/a", "a/", "a//b", "a/../b", "./a", "..", "a@0",
                                 "a b", "a\n", "größe", "storage", "storage/shards"}) {
    BOOST_TEST_CONTEXT("name " << name) {
      TRM_TEST_MENTIONS(error_of_plan(on_last(named(name))), "can't be the name of a tensor");
    }
  }
  for (const std::string inner : {"a/b", "a/b/c"}) {
    const Held held =
        both(both(on_first(named("a")), on_first(named("a-z"))), on_last(named(inner)));
    TRM_TEST_MENTIONS(error_of_plan(held), "a is a tensor");
  }
}

BOOST_AUTO_TEST_CASE(a_copy_larger_than_the_machine) {
  const Shape global{1LL << 30U, 1LL << 24U};
  HeldPiece piece = rows(0, 64);
  piece.piece = {"w", global, Box::whole(global),
                 ConstView(piece.piece.data.raw(), DType::f64, global)};
  TRM_TEST_MENTIONS(error_of_plan(on_last(piece)), "memory");
  TRM_TEST_MENTIONS(error_of_plan(on_last(piece), 1), "memory");
}

BOOST_AUTO_TEST_CASE(folders_that_cannot_be_written) {
  const SharedFolder folder;
  once([&] { std::ofstream(folder / "file") << "in the way"; });
  for (const std::string& path :
       {folder / "file/save", folder / "file", std::string("/proc/trireme")}) {
    const std::string failure = save(path, {kArray}, Cut::first_axis, 1).failure;
    TRM_TEST_MENTIONS(failure, path);
    TRM_TEST_MENTIONS(failure, "cannot create");
  }
  std::ifstream in(folder / "file");
  BOOST_TEST(std::string(std::istreambuf_iterator<char>(in), {}) == "in the way");
}

BOOST_AUTO_TEST_CASE(a_failure_at_each_stage_leaves_the_last_checkpoint) {
  // A folder in place of `latest`.
  const auto name = failure_of(
      [](const std::string& save) {
        fs::remove(save + "/latest");
        fs::create_directories(save + "/latest/in_the_way");
      },
      [](const std::string& save) {
        fs::remove_all(save + "/latest");
        std::ofstream(save + "/latest") << "global_step8\n";
      },
      9);  // whole, as only its name could not be written
  TRM_TEST_MENTIONS(name, "latest: cannot write: it is a folder");
}

BOOST_AUTO_TEST_CASE(one_writer_that_fails_fails_all_with_its_message) {
  const SharedFolder folder;
  (void)save(folder / "save", {kArray}, Cut::first_axis, 8);
  rlimit before{};
  BOOST_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const Array large{"model/w", DType::f32, Shape{640, 1000}, 3};
  const auto parts = parts_of({large}, Cut::first_axis, ranks());
  const Memory memory({large}, parts, me());
  SaveOptions options;
  options.folder = folder / "save";
  CheckpointSaver saver(options, memory.held(), std::nullopt, world());
  if (last()) {
    const rlimit small{100'000, before.rlim_max};
    BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  }
  saver.start(some_state(9));
  const SaveReport report = saver.wait().value();
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  TRM_TEST_MENTIONS(report.failure, "File too large");
  TRM_TEST_MENTIONS(report.failure, fmt::format("shard-{:05}.h5", ranks() - 1));
  BOOST_TEST(report.failure.find('\n') == std::string::npos);
  BOOST_TEST(report.disk_full);  // a limit of file sizes is met as a full disk is
  world().barrier();
  BOOST_TEST(find_leftovers(folder / "save").empty());
  BOOST_TEST(find_checkpoints(folder / "save").paths.at(0) == folder / "save/global_step8");
  world().barrier();
  saver.start(some_state(9));
  BOOST_TEST(saver.wait().value().failure == "");
  CheckpointReader reader(folder / "save/global_step9");
  BOOST_TEST(holds(reader, large));
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_full_at_any_moment) {
  const SharedFolder folder;
  const std::string disk = folder / "disk";
  const SmallDisk small(disk);
  if (!small.mounted()) return;
  const std::string path = disk + "/save";
  (void)save(path, {kArray}, Cut::first_axis, 8);
  const auto parts = parts_of({kArray}, Cut::first_axis, ranks());
  const Memory memory({kArray}, parts, me());
  SaveOptions options;
  options.folder = path;
  CheckpointSaver saver(options, memory.held(), std::nullopt, world());
  int failed = 0;
  bool done = false;
  for (std::int64_t room = 0; !done; room += 8 << 10) {  // the disk fills later each time
    once([&] {
      std::ofstream ballast(disk + "/ballast", std::ios::binary);
      const auto free = static_cast<std::int64_t>(fs::space(disk).available);
      ballast << std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, free - room)),
                             'x');
    });
    saver.start(some_state(9));
    const SaveReport report = saver.wait().value();
    done = report.failure.empty();
    world().barrier();
    if (!done) {
      ++failed;
      BOOST_TEST_CONTEXT(room << " bytes free: " << report.failure) {
        BOOST_TEST(report.disk_full);
        TRM_TEST_MENTIONS(report.failure, path);
        BOOST_TEST(report.failure.find('\n') == std::string::npos);
        CheckpointReader reader(path + "/global_step8");
        BOOST_TEST(holds(reader, kArray));
        BOOST_TEST(find_leftovers(path).empty());
      }
    }
    once([&] { fs::remove(disk + "/ballast"); });
  }
  BOOST_TEST(failed > 5);
  {
    CheckpointReader reader(find_checkpoints(path).paths.at(0));
    BOOST_TEST(reader.state().iteration == 9);
    BOOST_TEST(holds(reader, kArray));
  }
}

BOOST_AUTO_TEST_CASE(what_a_run_needs_must_be_there) {
  const SharedFolder folder;
  (void)save(folder / "save", {kArray}, Cut::first_axis, 8);
  CheckpointReader reader(folder / "save/global_step8");
  std::vector<double> data(6400);
  const auto read = [&](const std::string& name, const Shape& global, const View& to) {
    return error_of([&] { reader.read(name, global, Box::whole(global), to); });
  };
  const View to(data.data(), DType::f32, kGlobal);
  const auto missing = read("model/v", kGlobal, to);
  TRM_TEST_MENTIONS(missing, "save/global_step8: tensor model/v: ");
  TRM_TEST_MENTIONS(missing, "does not hold it");
  TRM_TEST_MENTIONS(
      read("model/w", Shape{32, 100}, View(data.data(), DType::f32, Shape{32, 100})),
      "model/w: its shape is [64, 100], this run needs [32, 100]");
  TRM_TEST_MENTIONS(read("model/w", kGlobal, View(data.data(), DType::f64, kGlobal)),
                    "model/w: it holds fp32, this run needs fp64");
  TRM_TEST_MENTIONS(error_of([&] { CheckpointReader(folder / "save/global_step9"); }),
                    "global_step9: there is no such folder");
}
