// SPDX-License-Identifier: Apache-2.0
// What is written comes back, at any cut; `latest` and replacement.
#include "trireme/checkpoint/store.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "../error_of.hpp"
#include "arrays.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

constexpr std::array kCuts{Cut::whole, Cut::first_axis, Cut::last_axis, Cut::random};

template <class T>
void check_cuts(const Shape& global) {
  const SharedFolder folder;
  for (const Cut from : kCuts) {
    CheckpointWriter writer(folder / "save", static_cast<std::int64_t>(from), world());
    write_array<T>(writer, "model/x", global, shares(global, from, 1));
    write_array<T>(writer, "optimizer/x", global, shares(global, from, 2), 77);
    writer.finish(some_state(static_cast<std::int64_t>(from)));
    CheckpointReader reader(find_latest(folder / "save").value());
    BOOST_TEST((reader.global_shape("model/x") == global));
    for (const Cut to : kCuts) {
      for (const Share& s : shares(global, to, 3)) {
        if (s.rank != me() && to != Cut::whole) continue;  // the whole is read by all
        BOOST_TEST_CONTEXT(global.str() << " cut " << int(from) << " read as " << int(to)) {
          BOOST_TEST(holds<T>(reader, "model/x", global, s.box));
          BOOST_TEST(holds<T>(reader, "optimizer/x", global, s.box, 77));
        }
      }
    }
  }
}

void save_one(const std::string& folder, std::int64_t iteration, Cut cut, unsigned salt = 0) {
  CheckpointWriter writer(folder, iteration, world());
  write_array<float>(writer, "model/w", Shape{8, 4}, shares(Shape{8, 4}, cut), salt);
  writer.finish(some_state(iteration));
}

}  // namespace

BOOST_AUTO_TEST_CASE(size_is_the_launchers) {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  BOOST_REQUIRE(size != nullptr);  // so that this program can't pass outside mpirun
  BOOST_TEST(ranks() == std::stoi(size));
}

BOOST_AUTO_TEST_CASE(every_cut_is_read_as_every_other) {
  check_cuts<float>(Shape{7, 12});
  check_cuts<float>(Shape{1, 5});
  check_cuts<float>(Shape{13});
  check_cuts<Bf16>(Shape{6, 10});
  check_cuts<double>(Shape{3, 5, 4});
  check_cuts<std::int64_t>(Shape{2, 3, 4, 5});
  check_cuts<std::uint64_t>(Shape{});
  check_cuts<float>(Shape{0, 4});
}

BOOST_AUTO_TEST_CASE(pieces_of_many_chunks) {
  check_cuts<float>(Shape{700, 1201});
  check_cuts<std::uint8_t>(Shape{3'000'001});
}

BOOST_AUTO_TEST_CASE(windows_of_wider_arrays_are_written_and_filled) {
  const SharedFolder folder;
  const Shape global{6, 4};
  const auto data = content<float>(Shape{6, 9}, Box::whole(Shape{6, 9}), 5);
  CheckpointWriter writer(folder / "save", 1, world());
  const ConstView wide(data.data(), DType::f32, Shape{6, 9});
  if (me() == 0) writer.write("x", global, Box::whole(global), wide.slice_cols(3, 4));
  writer.finish(some_state(1));

  CheckpointReader reader(find_latest(folder / "save").value());
  std::vector<float> back(6 * 7, -1);
  const Box part(Shape{1, 1}, Shape{4, 3});
  reader.read("x", part,
              View(back.data(), DType::f32, Shape{6, 7}).slice_rows(2, 4).slice_cols(2, 3));
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 7; ++j) {
      const bool filled = i >= 2 && j >= 2 && j < 5;
      const float expected = filled ? data[(i - 1) * 9 + 3 + j - 1] : -1.0F;
      BOOST_TEST(std::memcmp(&back[i * 7 + j], &expected, sizeof(float)) == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(state_names_and_types) {
  const SharedFolder folder;
  CheckpointWriter writer(folder / "save", 12, world());
  write_array<float>(writer, "model/layers.0.w", Shape{4}, shares(Shape{4}, Cut::whole));
  write_array<Half>(writer, "optimizer/exp_avg/b", Shape{4}, shares(Shape{4}, Cut::first_axis));
  writer.finish(some_state(12));
  const CheckpointReader reader(folder / "save/global_step12");
  BOOST_TEST((reader.state() == some_state(12)));
  BOOST_TEST(
      reader.names() == (std::vector<std::string>{"model/layers.0.w", "optimizer/exp_avg/b"}),
      boost::test_tools::per_element());
  BOOST_TEST(reader.has("optimizer/exp_avg/b"));
  BOOST_TEST(!reader.has("optimizer/exp_avg"));
  BOOST_TEST(!reader.has("optimizer/exp_avg_sq/b"));
  BOOST_TEST((reader.dtype("optimizer/exp_avg/b") == DType::f16));
}

BOOST_AUTO_TEST_CASE(only_ranks_with_pieces_make_a_file) {
  const SharedFolder folder;
  save_one(folder / "save", 3, Cut::whole);
  std::vector<std::string> files;
  for (const auto& f : fs::directory_iterator(folder / "save/global_step3")) {
    files.push_back(f.path().filename());
  }
  std::sort(files.begin(), files.end());
  const std::string shard = fmt::format("shard-{:05}.h5", ranks() - 1);
  BOOST_TEST(files == (std::vector<std::string>{"checkpoint.h5", shard}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(latest_names_the_newest) {
  const SharedFolder folder;
  BOOST_TEST(!find_latest(folder / "save").has_value());
  once([&] { fs::create_directory(folder / "save"); });
  BOOST_TEST(!find_latest(folder / "save").has_value());
  for (const int iteration : {10, 20, 5}) {
    save_one(folder / "save", iteration, Cut::first_axis);
    const std::string name = fmt::format("global_step{}", iteration);
    BOOST_TEST(find_latest(folder / "save").value() == folder / ("save/" + name));
    std::ifstream in(folder / "save/latest");
    BOOST_TEST(std::string(std::istreambuf_iterator<char>(in), {}) == name + "\n");
  }
  BOOST_TEST(fs::exists(folder / "save/global_step10"));
}

BOOST_AUTO_TEST_CASE(latest_is_not_trusted) {
  const SharedFolder folder;
  const std::string path = folder / "latest";
  for (const std::string text : {"", "\n", "../etc", "/etc", ".", "..", "a/b", "a b", "a\nb"}) {
    once([&] { std::ofstream(path) << text; });
    BOOST_TEST_CONTEXT("latest \"" << text << "\"") {
      TRM_TEST_MENTIONS(error_of([&] { (void)find_latest(folder / ""); }), "latest: ");
    }
  }
  once([&] { std::ofstream(path) << "global_step7\n"; });
  TRM_TEST_MENTIONS(error_of([&] { (void)find_latest(folder / ""); }), "names global_step7");
  once([&] { fs::create_directory(folder / "global_step7.old"); });
  TRM_TEST_MENTIONS(find_latest(folder / "").value(), "global_step7.old");
  TRM_TEST_MENTIONS(error_of([&] { (void)find_latest(path); }), "not a folder");
}

BOOST_AUTO_TEST_CASE(a_checkpoint_is_replaced_whole) {
  const SharedFolder folder;
  const Shape global{8, 4};
  save_one(folder / "save", 4, Cut::first_axis, 1);
  once([&] {
    fs::create_directories(folder / "save/global_step4.tmp");
    std::ofstream(folder / "save/global_step4.tmp/shard-00099.h5") << "of a dead run";
  });
  save_one(folder / "save", 4, Cut::whole, 2);
  CheckpointReader reader(find_latest(folder / "save").value());
  BOOST_TEST(holds<float>(reader, "model/w", global, Box::whole(global), 2));
  BOOST_TEST(!fs::exists(folder / "save/global_step4/shard-00099.h5"));
  std::size_t entries = 0;
  for (const auto& f : fs::directory_iterator(folder / "save")) {
    entries += f.path().empty() ? 0 : 1;
  }
  BOOST_TEST(entries == 2U);  // latest, global_step4
  BOOST_TEST(fs::exists(folder / "save/global_step4/shard-00000.h5") == (ranks() == 1));
}
