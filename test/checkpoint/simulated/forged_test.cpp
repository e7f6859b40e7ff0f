// SPDX-License-Identifier: Apache-2.0
// Checkpoints with right checksums and wrong content.
#include <array>
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <xxhash.h>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/saver.hpp"

#include "../../support/error_of.hpp"
#include "../../support/temporary_folder.hpp"
#include "../arrays.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

const Array kArray{"model/w", DType::f32, Shape{64, 100}, 1};

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::uint64_t sum_of(const std::string& bytes, std::size_t from) {
  return XXH3_64bits(bytes.data() + from, bytes.size() - from);
}

/// Changes checkpoint.h5 and corrects its checksum.
void change_index(const std::string& folder, const std::function<void(h5::File&)>& change) {
  const std::string path = folder + "/checkpoint.h5";
  {
    h5::File file(path, h5::Mode::read_write);
    change(file);
    file.close();
  }
  std::string bytes = bytes_of(path);
  const std::string sum = fmt::format("{:016x}", sum_of(bytes, 512));
  bytes.replace(bytes.find('\n') - sum.size(), sum.size(), sum);
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Changes the shard and its row in checkpoint.h5.
void change_shard(const std::string& folder, const std::function<void(h5::File&)>& change) {
  const std::string path = folder + "/shard-00000.h5";
  {
    h5::File file(path, h5::Mode::read_write);
    change(file);
    file.close();
  }
  const std::string bytes = bytes_of(path);
  const auto size = static_cast<std::int64_t>(bytes.size());
  const auto write = [](h5::File& file, const std::string& name,
                        const std::array<std::int64_t, 3>& row) {
    file.remove(name);
    file.create_dataset(name, DType::i64, Shape{1, 3}, {.checksum = true})
        .write(ConstView(row.data(), DType::i64, Shape{1, 3}));
  };
  change_index(folder, [&](h5::File& file) {
    write(file, "storage/shards", {0, size, std::bit_cast<std::int64_t>(sum_of(bytes, 0))});
    write(file, "storage/frames", {0, 0, size});
  });
}

void read_array(const std::string& path) {
  CheckpointReader reader(path);
  (void)holds(reader, kArray);
}

void verify_all(const std::string& path) {
  CheckpointReader(path).verify([](std::int64_t) {});
}

/// The message of reading a checkpoint of one shard that `spoil` has changed.
std::string error_of_read(const std::function<void(const std::string& folder)>& spoil,
                          void (*read)(const std::string& path) = read_array) {
  const TemporaryFolder folder(memory_folder());
  const auto world = make_self_communicator();
  const auto parts = parts_of({kArray}, Cut::whole, 1);
  const Memory memory({kArray}, parts, 0);
  SaveOptions options;
  options.folder = folder / "save";
  CheckpointSaver saver(options, memory.held(), std::nullopt, *world);
  saver.start(some_state(8));
  BOOST_REQUIRE(saver.wait().value().failure == "");
  const std::string path = folder / "save/global_step8";
  spoil(path);
  const std::string message = error_of([&] { read(path); });
  TRM_TEST_MENTIONS(message, path);
  BOOST_TEST_CONTEXT(message) { BOOST_CHECK_THROW(verify_all(path), Error); }
  return message;
}

std::string error_of_index(const std::function<void(h5::File&)>& change) {
  return error_of_read([&](const std::string& folder) { change_index(folder, change); });
}

std::string error_of_shard(const std::function<void(h5::File&)>& change) {
  return error_of_read([&](const std::string& folder) { change_shard(folder, change); });
}

const std::string kShard = "shard-00000.h5";
const std::string kPiece = "model/w@0,0";

std::string error_of_sources(const std::vector<h5::Source>& sources, DType dtype = DType::f32,
                             const Shape& global = kArray.global) {
  return error_of_index([&](h5::File& file) {
    file.remove("model/w");
    file.create_virtual_dataset("model/w", dtype, global, sources);
  });
}

Box rows(std::int64_t begin, std::int64_t count) {
  return {Shape{begin, 0}, Shape{count, 100}};
}

std::string error_of_rows(const std::string& name, const std::vector<std::int64_t>& values,
                          const Shape& shape) {
  return error_of_index([&](h5::File& file) {
    file.remove(name);
    auto dataset = file.create_dataset(name, DType::i64, shape, {.chunk = 1});
    if (std::ssize(values) == shape.count()) {
      dataset.write(ConstView(values.data(), DType::i64, shape));
    }
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(boxes_that_do_not_tile) {
  TRM_TEST_MENTIONS(error_of_sources({}), "pieces hold 0 of 6400");
  TRM_TEST_MENTIONS(error_of_sources({{kShard, kPiece, rows(0, 63)}}),
                    "pieces hold 6300 of 6400");
  TRM_TEST_MENTIONS(
      error_of_sources({{kShard, kPiece, rows(0, 64)}, {kShard, "model/w@9,0", rows(9, 1)}}),
      "overlap at [9, 0]");
}

BOOST_AUTO_TEST_CASE(pieces_that_are_not_there) {
  // A consistent list of sources, but no shard has such pieces.
  TRM_TEST_MENTIONS(error_of_sources({{kShard, "model/w@0,0", rows(0, 32)},
                                      {kShard, "model/w@32,0", rows(32, 32)}}),
                    "model/w@");
  TRM_TEST_MENTIONS(error_of_sources({{kShard, "model/v@0,0", rows(0, 64)}}), "model/v@0,0");
  TRM_TEST_MENTIONS(error_of_sources({{"shard-00077.h5", kPiece, rows(0, 64)}}),
                    "shard-00077.h5 is not one of the checkpoint's files");
  for (const std::string name : {"other.h5", "../shard-00000.h5", "/tmp/shard-00000.h5",
                                 "shard-0.h5", "shard--0001.h5", "shard-", "-", ""}) {
    TRM_TEST_MENTIONS(error_of_sources({{name, kPiece, rows(0, 64)}}), "model/w");
  }
}

BOOST_AUTO_TEST_CASE(tensors_that_are_others) {
  // A piece of another tensor, of the same shape, that is there.
  TRM_TEST_MENTIONS(error_of_sources({{kShard, "model/v@0,0", rows(0, 64)}}),
                    "is model/v@0,0, which is another tensor's");
  // A link in the place of a tensor, of its piece, and of all weights.
  TRM_TEST_MENTIONS(error_of_index([](h5::File& file) {
                      file.remove("model/w");
                      file.create_link("model/w", "/model/v");
                    }),
                    "model/w");
  TRM_TEST_MENTIONS(error_of_shard([](h5::File& file) {
                      file.remove(kPiece);
                      file.create_link(kPiece, "/model/v@0,0");
                    }),
                    "it is a link");
  for (const std::string name : {"model/x", "model", "optimizer/master", "x"}) {
    const auto spoil = [&](h5::File& file) {
      if (file.has(name)) file.remove(name);
      file.create_link(name, "/storage");
    };
    BOOST_TEST_CONTEXT(name) {
      const std::string message = error_of_read(
          [&](const std::string& folder) { change_index(folder, spoil); }, verify_all);
      TRM_TEST_MENTIONS(message, name + " is a link");
    }
  }
}

BOOST_AUTO_TEST_CASE(types_and_shapes_that_are_others) {
  TRM_TEST_MENTIONS(error_of_sources({{kShard, kPiece, rows(0, 64)}}, DType::f64),
                    "it holds fp64, this run needs fp32");
  TRM_TEST_MENTIONS(error_of_sources({{kShard, kPiece, Box(Shape{0, 0}, Shape{64, 101})}},
                                     DType::f32, Shape{64, 101}),
                    "its shape is [64, 101], this run needs [64, 100]");
  // An array in checkpoint.h5 itself, and no view on shards.
  TRM_TEST_MENTIONS(error_of_index([](h5::File& file) {
                      file.remove("model/w");
                      file.create_dataset("model/w", DType::f32, kArray.global);
                    }),
                    "pieces hold 0 of 6400");
}

BOOST_AUTO_TEST_CASE(records_of_shards_that_make_no_sense) {
  for (const char* name : {"storage/shards", "storage/frames"}) {
    TRM_TEST_MENTIONS(error_of_rows(name, {1, 2}, Shape{1, 2}), "rows of three integers");
    TRM_TEST_MENTIONS(error_of_rows(name, {1, 2, 3}, Shape{3}), "rows of three integers");
    TRM_TEST_MENTIONS(error_of_rows(name, {}, Shape{1LL << 40U, 3}), name);  // without data
    TRM_TEST_MENTIONS(error_of_index([&](h5::File& file) { file.remove(name); }), name);
  }
  TRM_TEST_MENTIONS(error_of_rows("storage/frames", {0, -1, 10}, Shape{1, 3}), "no shard has");
  TRM_TEST_MENTIONS(error_of_rows("storage/frames", {0, 10, 1LL << 62U}, Shape{1, 3}),
                    "no shard has");
  TRM_TEST_MENTIONS(error_of_rows("storage/frames", {7, 0, 10}, Shape{1, 3}), "no shard has");
  TRM_TEST_MENTIONS(error_of_rows("storage/shards", {0, -5, 0}, Shape{1, 3}), "no shard has");
}

BOOST_AUTO_TEST_CASE(attributes_that_are_wrong) {
  const auto with = [](const std::string& name, const h5::Attribute& value) {
    return error_of_index([&](h5::File& file) { file.set_attribute(name, value); });
  };
  TRM_TEST_MENTIONS(with("format_version", 4), "version 4; this program reads versions 2 to 3");
  TRM_TEST_MENTIONS(with("format", "tokens"), "not part of a checkpoint");
  for (const char* count : {"iteration", "samples_consumed", "optimizer_steps"}) {
    for (const std::int64_t wrong :
         {std::int64_t{-1}, (std::int64_t{1} << 44) + 1, INT64_MAX}) {
      TRM_TEST_MENTIONS(with(count, wrong), fmt::format("{}", wrong));
      TRM_TEST_MENTIONS(with(count, wrong), "no counts from 0 to 17592186044416");
    }
  }
  TRM_TEST_MENTIONS(with("seed", "many"), "seed");
  TRM_TEST_MENTIONS(with("deck", 7), "deck");
  TRM_TEST_MENTIONS(with("loss_scale", 0.0), "no state of a loss scale: 0,");
  TRM_TEST_MENTIONS(with("loss_scale", std::nan("")), "no state of a loss scale: nan,");
  TRM_TEST_MENTIONS(with("loss_scale_clean_steps", -1), "no state of a loss scale");
  TRM_TEST_MENTIONS(with("loss_scale_hysteresis", -2), "hysteresis -2");
}

BOOST_AUTO_TEST_CASE(a_checkpoint_from_before_the_loss_scale_had_a_state) {
  const TemporaryFolder folder(memory_folder());
  const auto world = make_self_communicator();
  const Memory memory({kArray}, parts_of({kArray}, Cut::whole, 1), 0);
  SaveOptions options;
  options.folder = folder / "save";
  CheckpointSaver saver(options, memory.held(), std::nullopt, *world);
  saver.start(some_state(8));
  BOOST_REQUIRE(saver.wait().value().failure == "");
  const std::string path = folder / "save/global_step8";
  change_index(path, [](h5::File& file) {
    file.remove_attribute("loss_scale_clean_steps");
    file.remove_attribute("loss_scale_hysteresis");
  });
  RunState expected = some_state(8);
  expected.clean_steps = 0;
  expected.hysteresis = -1;
  BOOST_TEST((CheckpointReader(path).state() == expected));
}

BOOST_AUTO_TEST_CASE(shards_of_something_else) {
  TRM_TEST_MENTIONS(error_of_shard([](h5::File& f) { f.set_attribute("iteration", 7); }),
                    "its iteration is 7, the checkpoint's 8");
  TRM_TEST_MENTIONS(error_of_shard([](h5::File& f) { f.set_attribute("format_version", 4); }),
                    "version 4; this program reads versions 2 to 3");
  TRM_TEST_MENTIONS(error_of_shard([](h5::File& f) { f.set_attribute("format", "tokens"); }),
                    "not part of a checkpoint");
  TRM_TEST_MENTIONS(
      error_of_shard([](h5::File& f) {
        f.dataset(kPiece).set_attribute("offset", std::vector<std::int64_t>{1, 0});
      }),
      "it is not the piece at [0, 0]");
  TRM_TEST_MENTIONS(error_of_shard([](h5::File& f) {
                      f.remove(kPiece);
                      auto piece = f.create_dataset(kPiece, DType::f64, kArray.global);
                      piece.set_attribute("offset", std::vector<std::int64_t>{0, 0});
                      piece.set_attribute("global_shape", std::vector<std::int64_t>{64, 100});
                    }),
                    "it is not the piece at [0, 0]");
}
