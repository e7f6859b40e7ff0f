// SPDX-License-Identifier: Apache-2.0
// Datasets that show boxes of other files' datasets, and links.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>

#include <boost/test/unit_test.hpp>

#include "trireme/h5/file.hpp"

#include "../../src/h5/library.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;
using h5::Dataset;
using h5::File;
using h5::Mode;
using h5::Source;
using test::error_of;
using test::TemporaryFolder;

namespace {

template <class T>
View view_of(std::vector<T>& data, const Shape& shape) {
  return {data.data(), kDTypeOf<T>, shape};
}

/// Elements as other readers see them: Trireme itself does not read through a virtual dataset.
template <class T>
std::vector<T> read_all(const std::string& path, const std::string& name) {
  const auto lock = h5::enter();
  const h5::Id file{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose};
  const h5::Id dataset{H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose};
  const h5::Id space{H5Dget_space(dataset), H5Sclose};
  std::vector<T> out(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  BOOST_REQUIRE(H5Dread(dataset, h5::memory_type(kDTypeOf<T>), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                        out.data()) >= 0);
  return out;
}

/// Writes each row i of `from` as dataset "x" of i.h5, checksummed, and v.h5 over all rows.
template <class T>
void make(const TemporaryFolder& folder, std::vector<T> from, const Shape& shape) {
  const std::string name(name_of(kDTypeOf<T>));
  Shape row = shape;
  row[0] = 1;
  std::vector<Source> sources;
  for (std::int64_t i = 0; i < shape[0]; ++i) {
    Shape offset = Box::whole(shape).offset;
    offset[0] = i;
    sources.push_back({std::to_string(i) + ".h5", "x", Box(offset, row)});
    File file(folder / sources.back().file, Mode::create, {.checksums = true});
    file.create_dataset("x", kDTypeOf<T>, row, {.checksum = true})
        .write(ConstView(from.data() + i * row.count(), kDTypeOf<T>, row));
  }
  File file(folder / "v.h5", Mode::create, {.checksums = true});
  file.create_virtual_dataset("a/b", kDTypeOf<T>, shape, sources);
  file.close();
}

template <class T>
void check_type(T missing) {
  const TemporaryFolder folder;
  std::vector<T> data(6);
  for (std::size_t i = 0; i < 6; ++i) {
    std::memset(static_cast<void*>(&data[i]), static_cast<int>(i + 0x31), sizeof(T));
  }
  make(folder, data, Shape{3, 2});
  std::filesystem::remove(folder / "1.h5");
  std::memcpy(static_cast<void*>(&data[2]), &missing, sizeof(T));
  data[3] = data[2];
  const std::vector<T> back = read_all<T>(folder / "v.h5", "a/b");
  BOOST_TEST(std::memcmp(back.data(), data.data(), 6 * sizeof(T)) == 0, name_of(kDTypeOf<T>));
}

Bf16 bf16_of_bits(std::uint16_t bits) {
  Bf16 out{};
  out.bits = bits;
  return out;
}

Half half_of_bits(std::uint16_t bits) {
  Half out{};
  out.bits = bits;
  return out;
}

/// Writes `all` to whole.h5, and in pieces to other files. The last axis is divided at 2, and
/// the second piece also on the first axis at 1.
std::vector<Source> write_parts(const TemporaryFolder& folder, std::vector<float>& all,
                                const Shape& shape) {
  std::vector<Source> sources;
  File whole(folder / "whole.h5", Mode::create);
  whole.create_dataset("x", DType::f32, shape).write(view_of(all, shape));
  const int last = shape.rank() - 1;
  Box left = Box::whole(shape);
  left.extent[last] = 2;
  Box top = Box::whole(shape);
  top.offset[last] = 2;
  top.extent[last] -= 2;
  std::vector<Box> boxes{left, top};
  if (last > 0) {
    boxes[1].extent[0] = 1;
    boxes.push_back(top);
    boxes[2].offset[0] = 1;
    boxes[2].extent[0] -= 1;
  }
  for (const Box& box : boxes) {
    const std::string name = "part" + std::to_string(sources.size()) + ".h5";
    std::vector<float> part(static_cast<std::size_t>(box.count()));
    whole.dataset("x").read(box, view_of(part, box.extent));
    File(folder / name, Mode::create)
        .create_dataset("model/x@0,1", DType::f32, box.extent, {.checksum = true})
        .write(view_of(part, box.extent));
    sources.push_back({name, "model/x@0,1", box});
  }
  return sources;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_virtual_dataset_shows_boxes_at_every_rank) {
  const TemporaryFolder folder;
  for (const Shape& shape : {Shape{7}, Shape{6, 5}, Shape{4, 3, 5}, Shape{3, 4, 2, 3}}) {
    std::vector<float> all(static_cast<std::size_t>(shape.count()));
    std::iota(all.begin(), all.end(), 1.0F);
    const std::vector<Source> sources = write_parts(folder, all, shape);
    {
      File file(folder / "v.h5", Mode::create, {.checksums = true});
      file.create_virtual_dataset("x", DType::f32, shape, sources);
    }
    const File file(folder / "v.h5", Mode::read);
    const Dataset x = file.dataset("x");
    BOOST_TEST((x.shape() == shape));
    BOOST_TEST(read_all<float>(folder / "v.h5", "x") == all, boost::test_tools::per_element());
    BOOST_TEST(x.extents().empty());
    BOOST_TEST(x.is_virtual());
    std::vector<float> back(all.size());
    TRM_TEST_MENTIONS(error_of([&] { x.read(view_of(back, shape)); }), "in other files");

    const std::vector<Source> found = x.sources();
    BOOST_REQUIRE(found.size() == sources.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      BOOST_TEST(found[i].file == sources[i].file);
      BOOST_TEST(found[i].dataset == sources[i].dataset);
      BOOST_TEST((found[i].box == sources[i].box));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_missing_reads_as_nan_or_the_largest_integer) {
  check_type(std::numeric_limits<float>::quiet_NaN());
  check_type(std::numeric_limits<double>::quiet_NaN());
  check_type(bf16_of_bits(0x7fc0));
  check_type(half_of_bits(0x7e00));
  check_type(std::numeric_limits<std::int32_t>::max());
  check_type(std::numeric_limits<std::int64_t>::max());
  check_type(std::numeric_limits<std::uint8_t>::max());
  check_type(std::numeric_limits<std::uint16_t>::max());
  check_type(std::numeric_limits<std::uint32_t>::max());
  check_type(std::numeric_limits<std::uint64_t>::max());

  const TemporaryFolder folder;
  for (const DType type : {DType::bf16, DType::f16}) {
    const std::string name(name_of(type));
    {
      File file(folder / "v.h5", Mode::create);
      file.create_virtual_dataset(name, type, Shape{3}, {});
      BOOST_TEST(file.dataset(name).sources().empty());
    }
    for (const float value : read_all<float>(folder / "v.h5", name)) {
      BOOST_TEST(std::isnan(value));
    }
  }
}

BOOST_AUTO_TEST_CASE(sources_are_found_beside_the_file_wherever_that_is) {
  const TemporaryFolder folder;
  const TemporaryFolder decoy;
  const std::vector<float> data{1, 2, 3, 4};
  make(folder, data, Shape{2, 2});
  make(decoy, std::vector<float>{-1, -2, -3, -4}, Shape{2, 2});
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(decoy / ".");
  const auto check = [&](const std::string& path) {
    BOOST_TEST(read_all<float>(path, "a/b") == data, boost::test_tools::per_element());
  };
  check(folder / "v.h5");
  std::filesystem::create_directory(folder / "moved");
  for (const char* name : {"v.h5", "0.h5", "1.h5"}) {
    std::filesystem::rename(folder / name, folder / (std::string("moved/") + name));
  }
  check(folder / "moved/v.h5");
  std::filesystem::current_path(folder / ".");
  check("moved/v.h5");
  std::filesystem::current_path(folder / "moved");
  check("v.h5");
  std::filesystem::current_path(before);
}

BOOST_AUTO_TEST_CASE(sources_that_are_open_already) {
  const TemporaryFolder folder;
  const std::vector<float> data{1, 2};
  make(folder, data, Shape{1, 2});
  const File source(folder / "0.h5", Mode::read);
  BOOST_TEST(read_all<float>(folder / "v.h5", "a/b") == data, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(names_of_sources_with_percent_signs) {
  const TemporaryFolder folder;
  std::vector<float> data{1, 2};
  File(folder / "100%b.h5", Mode::create)
      .create_dataset("%%x", DType::f32, Shape{2})
      .write(view_of(data, Shape{2}));
  File file(folder / "v.h5", Mode::create);
  const Dataset x = file.create_virtual_dataset("x", DType::f32, Shape{2},
                                                {{"100%b.h5", "%%x", Box::whole(Shape{2})}});
  BOOST_TEST(x.sources().at(0).file == "100%b.h5");
  BOOST_TEST(x.sources().at(0).dataset == "%%x");
  file.flush();
  BOOST_TEST(read_all<float>(folder / "v.h5", "x") == data, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(sources_outside_of_the_array_are_refused) {
  const TemporaryFolder folder;
  File file(folder / "v.h5", Mode::create);
  const auto create = [&](const Box& box) {
    file.create_virtual_dataset("x", DType::f32, Shape{2, 3}, {{"a.h5", "x", box}});
  };
  BOOST_CHECK_THROW(create(Box(Shape{1, 0}, Shape{2, 3})), Error);
  BOOST_CHECK_THROW(create(Box(Shape{0}, Shape{2})), Error);
  BOOST_CHECK_THROW(create(Box(Shape{0, 0}, Shape{0, 3})), Error);
  create(Box(Shape{1, 0}, Shape{1, 3}));
  BOOST_TEST(file.create_dataset("y", DType::f32, Shape{2}).sources().empty());
  TRM_TEST_MENTIONS(error_of([&] { create(Box(Shape{1, 0}, Shape{1, 3})); }), "exists already");
}

BOOST_AUTO_TEST_CASE(links) {
  const TemporaryFolder folder;
  std::vector<float> data{1, 2};
  {
    File file(folder / "a.h5", Mode::create, {.checksums = true});
    file.create_dataset("model/x", DType::f32, Shape{2}).write(view_of(data, Shape{2}));
    file.create_link("optimizer/master", "/model");
    file.create_link("nowhere", "/no/such");
    file.create_link("self", "/self");
    BOOST_CHECK_THROW(file.create_link("relative", "model"), Error);
    BOOST_CHECK_THROW(file.create_link("model", "/model"), Error);
  }
  const File file(folder / "a.h5", Mode::read);
  BOOST_TEST(file.is_link("optimizer/master"));
  BOOST_TEST(file.is_link("/optimizer/master/"));
  BOOST_TEST(file.is_link("nowhere"));
  BOOST_TEST(!file.is_link("optimizer"));
  BOOST_TEST(!file.is_link("optimizer/master/x"));
  BOOST_TEST(!file.is_link("/"));
  BOOST_TEST(!file.is_link("none"));
  BOOST_TEST(!file.is_link("nowhere/x"));
  BOOST_TEST(file.link_target("optimizer/master") == "/model");
  BOOST_TEST(file.link_target("self") == "/self");
  BOOST_TEST(!file.has_dataset("optimizer/master/x"));
  BOOST_TEST(read_all<float>(folder / "a.h5", "optimizer/master/x") == data,
             boost::test_tools::per_element());
  TRM_TEST_MENTIONS(error_of([&] { (void)file.group("optimizer/master"); }),
                    "/optimizer/master is a link");
  TRM_TEST_MENTIONS(error_of([&] { (void)file.dataset("nowhere"); }), "it is a link");
  BOOST_TEST(file.has("nowhere"));
  BOOST_TEST(!file.has_dataset("nowhere"));
  BOOST_TEST(!file.has_dataset("self"));
  BOOST_TEST(!file.has("self/x"));
}
