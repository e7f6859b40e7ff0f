// SPDX-License-Identifier: Apache-2.0
// Saves that fail on one rank or all, and checkpoints that are damaged or lie.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/store.hpp"

#include "../error_of.hpp"
#include "arrays.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

const Shape kGlobal{64, 100};
constexpr const char* kName = "model/w";

void save(const std::string& folder, std::int64_t iteration, unsigned salt = 0) {
  CheckpointWriter writer(folder, iteration, world());
  write_array<float>(writer, kName, kGlobal, shares(kGlobal, Cut::first_axis), salt);
  writer.finish(some_state(iteration));
}

/// The message of the Error that `f` throws on every rank, which must be one.
std::string error_of_all(const std::function<void()>& f) {
  std::string message;
  try {
    f();
  } catch (const Error& e) {
    message = e.what();
    BOOST_TEST(e.everywhere());
  }
  BOOST_TEST(!message.empty());
  const std::string first = world().broadcast_text(message, 0);
  BOOST_TEST(message == first);
  return first;
}

/// A save of step 9, spoilt by `f`, must fail as a whole and leave step 8 as it was.
std::string error_of_save(const std::function<void(CheckpointWriter&, const std::string&)>& f) {
  const SharedFolder folder;
  save(folder / "save", 8);
  const std::string message = error_of_all([&] {
    CheckpointWriter writer(folder / "save", 9, world());
    f(writer, folder / "save/global_step9.tmp");
    writer.finish(some_state(9));
  });
  world().barrier();
  CheckpointReader reader(find_latest(folder / "save").value());
  BOOST_TEST(reader.state().iteration == 8);
  BOOST_TEST(holds<float>(reader, kName, kGlobal, Box::whole(kGlobal)));
  BOOST_TEST(!fs::exists(folder / "save/global_step9"));
  BOOST_TEST(!fs::exists(folder / "save/global_step9.tmp"));
  return message;
}

void write_rows(CheckpointWriter& writer, std::int64_t begin, std::int64_t rows,
                const Shape& global = kGlobal) {
  const std::vector<float> data(static_cast<std::size_t>(rows * global.cols()));
  const Box box(Shape{begin, 0}, Shape{rows, global.cols()});
  writer.write(kName, global, box, ConstView(data.data(), DType::f32, box.extent));
}

bool last() { return me() == ranks() - 1; }

/// A good checkpoint of one tensor, spoilt by `f` on rank 0; the message of then reading it.
std::string error_of_read(const std::function<void(const std::string& folder)>& f) {
  const SharedFolder folder;
  save(folder / "save", 8);
  const std::string path = find_latest(folder / "save").value();
  once([&] { f(path); });
  std::string message = error_of([&] {
    CheckpointReader reader(path);
    (void)holds<float>(reader, kName, kGlobal, Box::whole(kGlobal));
  });
  TRM_TEST_MENTIONS(message, path);
  return message;
}

using Rows = std::vector<std::vector<std::int64_t>>;

/// Reading after the tensor's pieces were changed in checkpoint.h5.
std::string error_of_pieces(const Rows& pieces, const std::string& dtype = "fp32",
                            const std::vector<std::int64_t>& shape = {64, 100}) {
  return error_of_read([&](const std::string& folder) {
    h5::File file(folder + "/checkpoint.h5", h5::Mode::read_write);
    const std::string name = std::string("manifest/") + kName;
    file.remove(name);
    const Shape extents{static_cast<std::int64_t>(pieces.size()),
                        static_cast<std::int64_t>(pieces.front().size())};
    std::vector<std::int64_t> flat;
    for (const auto& p : pieces) flat.insert(flat.end(), p.begin(), p.end());
    auto dataset = file.create_dataset(name, DType::i64, extents);
    dataset.write(ConstView(flat.data(), DType::i64, extents));
    dataset.set_attribute("dtype", dtype);
    dataset.set_attribute("shape", shape);
  });
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string shard_of(const std::string& folder, int rank) {
  return fmt::format("{}/shard-{:05}.h5", folder, rank);
}

}  // namespace

BOOST_AUTO_TEST_CASE(folders_that_cannot_be_written) {
  const SharedFolder folder;
  once([&] { std::ofstream(folder / "file") << "in the way"; });
  TRM_TEST_MENTIONS(error_of_all([&] { save(folder / "file/save", 1); }), "file/save");
  TRM_TEST_MENTIONS(error_of_all([&] { save(folder / "file", 1); }), "file");
  BOOST_TEST(bytes_of(folder / "file") == "in the way");
}

BOOST_AUTO_TEST_CASE(one_rank_that_fails_fails_all_with_its_message) {
  const auto message = error_of_save([&](CheckpointWriter& writer, const std::string& folder) {
    if (last()) fs::create_directory(shard_of(folder, me()));  // in the way of its file
    write_array<float>(writer, kName, kGlobal, shares(kGlobal, Cut::first_axis));
  });
  TRM_TEST_MENTIONS(message, fmt::format("shard-{:05}.h5: cannot create", ranks() - 1));
}

BOOST_AUTO_TEST_CASE(a_disk_that_fills_up) {
  const SharedFolder folder;
  save(folder / "save", 8, 1);
  rlimit before{};
  BOOST_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const Shape global{640, 1000};
  const auto message = error_of_all([&] {
    CheckpointWriter writer(folder / "save", 9, world());
    if (last()) {
      const rlimit small{100'000, before.rlim_max};
      BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    }
    write_array<float>(writer, kName, global, shares(global, Cut::first_axis));
    writer.finish(some_state(9));
  });
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  TRM_TEST_MENTIONS(message, "File too large");
  BOOST_TEST(message.find('\n') == std::string::npos);
  {
    CheckpointReader reader(find_latest(folder / "save").value());
    BOOST_TEST(holds<float>(reader, kName, kGlobal, Box::whole(kGlobal), 1));
  }
  world().barrier();
  save(folder / "save", 9, 2);  // there is room again
  CheckpointReader reader(find_latest(folder / "save").value());
  BOOST_TEST(reader.state().iteration == 9);
  BOOST_TEST(holds<float>(reader, kName, kGlobal, Box::whole(kGlobal), 2));
}

BOOST_AUTO_TEST_CASE(rank_0_failing_at_the_end_fails_all) {
  const auto message = error_of_save([&](CheckpointWriter& writer, const std::string& folder) {
    if (me() == 0) fs::create_directory(folder + "/checkpoint.h5");
    write_array<float>(writer, kName, kGlobal, shares(kGlobal, Cut::first_axis));
  });
  TRM_TEST_MENTIONS(message, "checkpoint.h5: cannot create");
}

BOOST_AUTO_TEST_CASE(pieces_must_tile_their_tensor) {
  const auto gap = error_of_save([&](CheckpointWriter& writer, const std::string&) {
    if (last()) write_rows(writer, 1, 63);
  });
  TRM_TEST_MENTIONS(gap, "model/w of shape [64, 100]: pieces hold 6300 of 6400 elements");
  const auto overlap = error_of_save([&](CheckpointWriter& writer, const std::string&) {
    if (me() == 0) write_rows(writer, 0, 33);
    if (last()) write_rows(writer, 32, 32);
  });
  TRM_TEST_MENTIONS(overlap, "model/w of shape [64, 100]: two pieces overlap at [32, 0]");
  const auto none = error_of_save(
      [&](CheckpointWriter& writer, const std::string&) { write_rows(writer, 0, 0); });
  TRM_TEST_MENTIONS(none, "pieces hold 0 of 6400");
}

BOOST_AUTO_TEST_CASE(pieces_that_make_no_sense) {
  const auto outside = error_of_save([&](CheckpointWriter& writer, const std::string&) {
    if (last()) write_rows(writer, 60, 5);
  });
  TRM_TEST_MENTIONS(outside, "model/w");
  const auto twice = error_of_save([&](CheckpointWriter& writer, const std::string&) {
    if (last()) write_rows(writer, 0, 64);
    if (last()) write_rows(writer, 0, 64);
  });
  TRM_TEST_MENTIONS(twice, "exists already");
  const auto shapes = error_of_save([&](CheckpointWriter& writer, const std::string&) {
    if (me() == 0) write_rows(writer, 0, 32, Shape{64, 100});
    if (last()) write_rows(writer, 32, 32, Shape{64, 101});
  });
  TRM_TEST_MENTIONS(shapes, "[64, 101]");
  for (const std::string name :
       {"", "/a", "a/", "a//b", "a/../b", "./a", "a@0", "a b", "a\n"}) {
    const auto message = error_of_save([&](CheckpointWriter& writer, const std::string&) {
      const float x = 0;
      if (last())
        writer.write(name, Shape{1}, Box::whole(Shape{1}), {&x, DType::f32, Shape{1}});
    });
    TRM_TEST_MENTIONS(message, "can't be the name of a tensor");
  }
}

BOOST_AUTO_TEST_CASE(a_state_of_another_iteration) {
  const SharedFolder folder;
  const auto message = error_of_all(
      [&] { CheckpointWriter(folder / "save", 9, world()).finish(some_state(10)); });
  TRM_TEST_MENTIONS(message, "state of iteration 10");
  BOOST_TEST(!find_latest(folder / "save").has_value());
}

BOOST_AUTO_TEST_CASE(what_a_run_needs_must_be_there) {
  const SharedFolder folder;
  save(folder / "save", 8);
  CheckpointReader reader(folder / "save/global_step8");
  std::vector<double> data(6400);
  const auto read = [&](const std::string& name, const Shape& global, const View& to) {
    return error_of([&] { reader.read(name, global, Box::whole(global), to); });
  };
  const View to(data.data(), DType::f32, kGlobal);
  const auto missing = read("model/v", kGlobal, to);
  TRM_TEST_MENTIONS(missing, "save/global_step8: tensor model/v: ");
  TRM_TEST_MENTIONS(missing, "does not hold it");
  TRM_TEST_MENTIONS(read(kName, Shape{32, 100}, View(data.data(), DType::f32, Shape{32, 100})),
                    "model/w: its shape is [64, 100], this run needs [32, 100]");
  TRM_TEST_MENTIONS(read(kName, kGlobal, View(data.data(), DType::f64, kGlobal)),
                    "model/w: it holds fp32, this run needs fp64");
  TRM_TEST_MENTIONS(error_of([&] { CheckpointReader(folder / "save/global_step9"); }),
                    "global_step9: there is no such folder");
}

BOOST_AUTO_TEST_CASE(files_that_are_damaged) {
  const auto incomplete =
      error_of_read([](const std::string& folder) { fs::remove(folder + "/checkpoint.h5"); });
  TRM_TEST_MENTIONS(incomplete, "not a complete checkpoint");
  const auto cut_short = error_of_read([](const std::string& folder) {
    const std::string path = folder + "/checkpoint.h5";
    fs::resize_file(path, fs::file_size(path) - 1);
  });
  TRM_TEST_MENTIONS(cut_short, "truncated");

  const int victim = ranks() - 1;
  const auto missing =
      error_of_read([&](const std::string& folder) { fs::remove(shard_of(folder, victim)); });
  TRM_TEST_MENTIONS(missing, "tensor model/w");
  TRM_TEST_MENTIONS(missing, fmt::format("shard-{:05}.h5: cannot open: No such file", victim));
  const auto truncated = error_of_read([&](const std::string& folder) {
    const std::string path = shard_of(folder, victim);
    fs::resize_file(path, fs::file_size(path) / 2);
  });
  TRM_TEST_MENTIONS(truncated, "tensor model/w");
  TRM_TEST_MENTIONS(truncated, "truncated");
  const auto flipped = error_of_read([&](const std::string& folder) {
    const std::string path = shard_of(folder, victim);
    std::string bytes = bytes_of(path);
    const auto data = content<float>(kGlobal, Box(Shape{63, 0}, Shape{1, 100}), 0);
    const std::string row(reinterpret_cast<const char*>(data.data()), 400);
    BOOST_REQUIRE(bytes.find(row) != std::string::npos);
    bytes[bytes.find(row) + 200] ^= 1;
    std::ofstream(path, std::ios::binary) << bytes;
  });
  TRM_TEST_MENTIONS(flipped, "tensor model/w");
  TRM_TEST_MENTIONS(flipped, "checksum");
}

BOOST_AUTO_TEST_CASE(shards_of_something_else) {
  const auto stale = error_of_read([&](const std::string& folder) {
    h5::File(shard_of(folder, 0), h5::Mode::read_write).set_attribute("iteration", 7);
  });
  TRM_TEST_MENTIONS(stale, "it is of iteration 7, the checkpoint of 8");
  const auto foreign = error_of_read(
      [&](const std::string& folder) { h5::File(shard_of(folder, 0), h5::Mode::create); });
  TRM_TEST_MENTIONS(foreign, "not part of a checkpoint");
  const auto other = error_of_read([&](const std::string& folder) {
    h5::File file(shard_of(folder, 0), h5::Mode::read_write);
    file.dataset("model/w@0,0").set_attribute("offset", std::vector<std::int64_t>{1, 0});
  });
  TRM_TEST_MENTIONS(other, "it is not the piece at [0, 0]");
}

BOOST_AUTO_TEST_CASE(a_manifest_that_lies) {
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 63, 100}}), "pieces hold 6300 of 6400");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 64, 100}, {0, 9, 9, 1, 1}}),
                    "overlap at [9, 9]");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 65, 100}}), "not inside of [64, 100]");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 1LL << 62, 0, 1LL << 62, 100}}), "not inside of");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 0, 100}}), "not inside of");
  TRM_TEST_MENTIONS(error_of_pieces({{0, -1, 0, 64, 100}}), "negative");
  TRM_TEST_MENTIONS(error_of_pieces({{77, 0, 0, 64, 100}}), "shard-00077.h5: cannot open");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 64}}), "list of pieces is damaged");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 64, 100}}, "fp128"), "fp128");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 64, 100}}, "fp32", {1LL << 62, 1LL << 62}),
                    "global shape");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 64, 100}}, "fp32", {-64, 100}), "global shape");
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 64, 100}}, "fp32", {1, 1, 1, 64, 100}),
                    "5 axes");
  // True as far as it goes, but no shard has such a piece.
  TRM_TEST_MENTIONS(error_of_pieces({{0, 0, 0, 64, 50}, {0, 0, 50, 64, 50}}), "model/w@0,");
}

BOOST_AUTO_TEST_CASE(a_list_of_pieces_larger_than_the_file) {
  const auto message = error_of_read([&](const std::string& folder) {
    h5::File file(folder + "/checkpoint.h5", h5::Mode::read_write);
    const std::string name = std::string("manifest/") + kName;
    file.remove(name);
    auto dataset =
        file.create_dataset(name, DType::i64, Shape{1LL << 40U, 5}, {.chunk = 1});  // no data
    dataset.set_attribute("dtype", "fp32");
    dataset.set_attribute("shape", std::vector<std::int64_t>{64, 100});
  });
  TRM_TEST_MENTIONS(message, "list of pieces is damaged");
}

BOOST_AUTO_TEST_CASE(attributes_that_are_wrong) {
  const auto with = [](const std::string& name, const h5::Attribute& value) {
    return error_of_read([&](const std::string& folder) {
      h5::File file(folder + "/checkpoint.h5", h5::Mode::read_write);
      file.set_attribute(name, value);
    });
  };
  TRM_TEST_MENTIONS(with("format_version", 2), "version 2; this program reads version 1");
  TRM_TEST_MENTIONS(with("format", "tokens"), "not part of a checkpoint");
  TRM_TEST_MENTIONS(with("samples_consumed", -1), "negative");
  TRM_TEST_MENTIONS(with("seed", "many"), "seed");
  TRM_TEST_MENTIONS(with("deck", 7), "deck");
}
