// SPDX-License-Identifier: Apache-2.0
// Files whose every byte is under a checksum: damage at any offset, user blocks, and where the
// elements are.
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "trireme/h5/file.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;
using h5::Dataset;
using h5::File;
using h5::Group;
using h5::Mode;
using test::error_of;
using test::TemporaryFolder;

namespace {

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Writes bytes in place, as a program without HDF5 would.
void overwrite(const std::string& path, std::int64_t at, std::string_view bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  BOOST_REQUIRE(file >= 0);
  BOOST_REQUIRE(pwrite(file, bytes.data(), bytes.size(), at) ==
                static_cast<ssize_t>(bytes.size()));
  BOOST_REQUIRE(::close(file) == 0);
}

std::vector<float> iota(std::int64_t n, float first = 1) {
  std::vector<float> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), first);
  return v;
}

ConstView view_of(const std::vector<float>& data, const Shape& shape) {
  return {data.data(), DType::f32, shape};
}

/// A little of everything that is under checksums: plain and chunked datasets; attributes;
/// links; HDF5 groups of few and of many members.
void make_everything(const std::string& path) {
  File file(path, Mode::create, {.checksums = true, .user_block = 512});
  file.set_attribute("format_version", 2);
  file.set_attribute("scale", 0.5);
  file.create_dataset("plain", DType::f32, Shape{3}).write(view_of(iota(3), Shape{3}));
  const h5::DatasetOptions chunks{.chunk = 2, .checksum = true};
  Dataset d = file.create_dataset("model/x@0,128", DType::f32, Shape{5, 4}, chunks);
  d.write(view_of(iota(20), Shape{5, 4}));
  d.set_attribute("offset", std::vector<std::int64_t>{0, 128});
  d.set_attribute("global_shape", std::vector<std::int64_t>{5, 256});
  file.create_dataset("model/one", DType::f32, Shape{4}, {.checksum = true})
      .write(view_of(iota(4), Shape{4}));
  file.create_link("optimizer/master", "/model");
  for (int i = 0; i < 20; ++i) file.create_group("many/" + std::to_string(i));
}

void describe_attributes(const h5::Object& object, std::string& out) {
  for (const std::string& name : object.attribute_names()) {
    out += " " + name + "=";
    if (name == "scale") {
      out += std::to_string(object.number(name));
    } else {
      for (const std::int64_t n : object.integers(name)) out += std::to_string(n) + ",";
    }
  }
  out += '\n';
}

/// Appends all content of an HDF5 group as text; elements appear as their bits.
void describe(const Group& group, std::string& out) {
  describe_attributes(group, out);
  for (const std::string& name : group.names()) {
    out += name;
    if (group.is_link(name)) {
      out += " link to " + group.link_target(name);
      continue;
    }
    if (!group.has_dataset(name)) {
      describe(group.group(name), out);
      continue;
    }
    const Dataset d = group.dataset(name);
    out += fmt::format(" {} {}", name_of(d.dtype()), d.shape().str());
    for (const h5::Extent& e : d.extents()) out += fmt::format(" {}+{}", e.offset, e.bytes);
    std::vector<char> data(static_cast<std::size_t>(d.shape().count()) * size_of(d.dtype()));
    d.read(View(data.data(), d.dtype(), d.shape()));
    out.append(data.begin(), data.end());
    describe_attributes(d, out);
  }
}

std::string describe(const std::string& path) {
  std::string out;
  describe(File(path, Mode::read), out);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_flipped_bit_anywhere_is_an_error_or_of_no_effect) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  make_everything(path);
  const std::string before = describe(path);
  const std::string bytes = bytes_of(path);
  std::vector<bool> data(bytes.size());
  {
    const File file(path, Mode::read);
    for (const char* name : {"plain", "model/x@0,128", "model/one"}) {
      for (const h5::Extent& e : file.dataset(name).extents()) {
        const auto first = data.begin() + e.offset;
        std::fill(first, first + e.bytes, true);
      }
    }
  }
  std::size_t errors = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (data[i]) continue;
    const char flipped = static_cast<char>(bytes[i] ^ (1 << (i * 5 % 8)));
    overwrite(path, static_cast<std::int64_t>(i), {&flipped, 1});
    const auto start = std::chrono::steady_clock::now();
    try {
      const std::string after = describe(path);
      BOOST_TEST((after == before), "byte " << i << " of " << bytes.size());
    } catch (const Error&) {
      ++errors;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    BOOST_TEST(took.count() < 1.0, "byte " << i << " takes " << took.count() << " s");
    overwrite(path, static_cast<std::int64_t>(i), {&bytes[i], 1});
  }
  BOOST_TEST(errors > 1000U);
  BOOST_TEST_MESSAGE(errors << " errors in " << bytes.size() << " bytes");
  BOOST_TEST((describe(path) == before));
}

BOOST_AUTO_TEST_CASE(a_file_with_checksums_that_is_being_written_cannot_be_opened) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create, {.checksums = true});
  file.create_group("x");
  file.flush();
  std::filesystem::copy_file(folder / "a.h5", folder / "b.h5");  // as if the writer had died
  TRM_TEST_MENTIONS(error_of([&] { File(folder / "b.h5", Mode::read); }), "b.h5: cannot open");
  file.close();
  BOOST_TEST(File(folder / "a.h5", Mode::read).has("x"));
}

BOOST_AUTO_TEST_CASE(user_blocks_belong_to_the_caller) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  for (const std::int64_t block : {512, 1024, 65536}) {
    {
      File file(path, Mode::create, {.checksums = true, .user_block = block});
      file.create_dataset("x", DType::f32, Shape{3}).write(view_of(iota(3), Shape{3}));
      file.close();
    }
    BOOST_TEST(bytes_of(path).substr(static_cast<std::size_t>(block), 4) == "\x89HDF");
    const std::string text(static_cast<std::size_t>(block), 'u');
    overwrite(path, 0, text);
    {
      const File file(path, Mode::read);
      std::vector<float> back(3);
      file.dataset("x").read(View(back.data(), DType::f32, Shape{3}));
      BOOST_TEST(back == iota(3), boost::test_tools::per_element());
    }
    File(path, Mode::read_write).create_group("more");
    BOOST_TEST((bytes_of(path).substr(0, text.size()) == text));
    BOOST_TEST(File(path, Mode::read).has("more"));
  }
  for (const std::int64_t block : {-512, 1, 256, 768}) {
    BOOST_CHECK_THROW(File(path, Mode::create, {.user_block = block}), Error);
  }
}

BOOST_AUTO_TEST_CASE(extents_are_where_the_elements_are) {
  const TemporaryFolder folder;
  for (const std::int64_t block : {0, 512}) {
    for (const bool checksums : {false, true}) {
      const std::string path = folder / "a.h5";
      const auto data = iota(700);
      const Shape shape{100, 7};
      {
        File file(path, Mode::create, {.checksums = checksums, .user_block = block});
        file.create_dataset("plain", DType::f32, shape).write(view_of(data, shape));
        file.create_dataset("chunks", DType::f32, shape, {.chunk = 10})
            .write(view_of(data, shape));
        Dataset sums =
            file.create_dataset("sums", DType::f32, shape, {.chunk = 10, .checksum = true});
        sums.write(view_of(data, shape));
        BOOST_TEST(sums.extents().size() == 10U);  // also before the elements are on disk
        file.create_dataset("unwritten", DType::f32, shape);
        file.create_dataset("empty", DType::f32, Shape{0, 7}, {.checksum = true});
      }
      const File file(path, Mode::read);
      const std::string bytes = bytes_of(path);
      const auto check = [&](const std::string& name, std::size_t count, std::size_t each,
                             std::size_t sum) {
        const std::vector<h5::Extent> extents = file.dataset(name).extents();
        BOOST_REQUIRE(extents.size() == count);
        for (std::size_t i = 0; i < count; ++i) {
          BOOST_TEST(extents[i].bytes == static_cast<std::int64_t>(each + sum));
          BOOST_TEST(std::memcmp(bytes.data() + extents[i].offset,
                                 data.data() + i * each / sizeof(float), each) == 0);
        }
      };
      check("plain", 1, 2800, 0);
      check("chunks", 10, 280, 0);
      check("sums", 10, 280, 4);
      BOOST_TEST(file.dataset("unwritten").extents().empty());
      BOOST_TEST(file.dataset("empty").extents().empty());
    }
  }
}

BOOST_AUTO_TEST_CASE(default_chunks_are_neither_small_nor_many) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create, {.checksums = true});
  std::vector<std::uint8_t> zeros(1 << 23);
  const auto extents = [&](const std::string& name, const Shape& shape) {
    Dataset d = file.create_dataset(name, DType::u8, shape, {.checksum = true});
    d.write(View(zeros.data(), DType::u8, shape));
    return d.extents();
  };
  BOOST_TEST(extents("rows", Shape{1 << 13, 1 << 10}).size() == 8U);
  BOOST_TEST(extents("long rows", Shape{2, 1 << 22}).size() == 8U);
  BOOST_TEST(extents("deep", Shape{2, 2, 1 << 11, 1 << 10}).size() == 8U);
  BOOST_TEST(extents("flat", Shape{1 << 23}).size() == 8U);
  BOOST_TEST(extents("little", Shape{10, 3}).size() == 1U);
  // Large, but never written; a chunk must have less than 4 GiB.
  Dataset large = file.create_dataset("large", DType::u8, Shape{2, std::int64_t{1} << 40},
                                      {.checksum = true});
  BOOST_TEST(large.extents().empty());
}

BOOST_AUTO_TEST_CASE(equal_calls_make_equal_bytes_with_checksums) {
  const TemporaryFolder folder;
  make_everything(folder / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // stamps count seconds
  make_everything(folder / "b.h5");
  BOOST_TEST((bytes_of(folder / "a.h5") == bytes_of(folder / "b.h5")));
}

BOOST_AUTO_TEST_CASE(whole_chunks_and_parts_of_them_are_the_same_to_the_library) {
  const TemporaryFolder folder;
  // Lengths of rows that are odd, below and above what one round of the checksum takes.
  for (const std::int64_t cols : {1, 3, 7, 16, 1001, 5761, 20000}) {
    const Shape shape{5, cols};
    std::vector<std::uint8_t> data(static_cast<std::size_t>(5 * cols));
    for (std::size_t i = 0; i < data.size(); ++i) {
      data[i] = static_cast<std::uint8_t>(i * 37 ^ i >> 5U);
    }
    std::fill_n(data.begin(), cols, std::uint8_t{0});           // sums at both ends of
    std::fill_n(data.begin() + cols, cols, std::uint8_t{255});  // their range
    File file(folder / "a.h5", Mode::create);
    Dataset whole =
        file.create_dataset("whole", DType::u8, shape, {.chunk = 1, .checksum = true});
    Dataset parts =
        file.create_dataset("parts", DType::u8, shape, {.chunk = 1, .checksum = true});
    Dataset twos =
        file.create_dataset("twos", DType::u8, shape, {.chunk = 2, .checksum = true});
    whole.write(View(data.data(), DType::u8, shape));
    twos.write(Box(Shape{1, 0}, Shape{4, cols}),
               View(data.data() + cols, DType::u8, Shape{4, cols}));
    twos.write(Box(Shape{0, 0}, Shape{1, cols}), View(data.data(), DType::u8, Shape{1, cols}));
    std::vector<std::uint8_t> back(data.size());
    for (const Dataset& d : {whole, twos}) {
      d.read(View(back.data(), DType::u8, shape));
      BOOST_TEST((back == data), cols);
      d.read(Box(Shape{1, 0}, Shape{4, cols}), View(back.data(), DType::u8, Shape{4, cols}));
      BOOST_TEST(std::equal(data.begin() + cols, data.end(), back.begin()), cols);
    }
    // Column by column, the library's own filter reads what Chunks wrote, and the reverse.
    const std::int64_t step = (cols + 2) / 3;
    for (std::int64_t c = 0; c < cols; c += step) {
      const Box box(Shape{0, c}, Shape{5, std::min(step, cols - c)});
      std::vector<std::uint8_t> part(static_cast<std::size_t>(box.count()));
      whole.read(box, View(part.data(), DType::u8, box.extent));
      parts.write(box, View(part.data(), DType::u8, box.extent));
    }
    parts.read(View(back.data(), DType::u8, shape));
    BOOST_TEST((back == data), cols);
    std::vector<std::uint16_t> wide(data.size());  // another type in memory
    whole.read(View(wide.data(), DType::u16, shape));
    BOOST_TEST(std::equal(data.begin(), data.end(), wide.begin()), cols);
  }
}

BOOST_AUTO_TEST_CASE(chunks_never_written_read_as_zero) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create, {.checksums = true});
  Dataset d = file.create_dataset("x", DType::f32, Shape{4, 2}, {.chunk = 2, .checksum = true});
  d.write(Box(Shape{2, 0}, Shape{2, 2}), view_of(iota(4), Shape{2, 2}));
  std::vector<float> back(8, -1);
  d.read(View(back.data(), DType::f32, Shape{4, 2}));
  BOOST_TEST(back == (std::vector<float>{0, 0, 0, 0, 1, 2, 3, 4}),
             boost::test_tools::per_element());
}
