// SPDX-License-Identifier: Apache-2.0
// Round trips through files, and files that are damaged or of another kind.
#include "trireme/h5/file.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <numeric>
#include <sys/resource.h>
#include <thread>

#include <boost/test/unit_test.hpp>

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

template <class T>
View view_of(std::vector<T>& data, const Shape& shape) {
  return {data.data(), kDTypeOf<T>, shape};
}

template <class T>
View view_of(std::vector<T>& data) {
  return view_of(data, Shape{static_cast<std::int64_t>(data.size())});
}

template <class T>
std::vector<T> iota(std::size_t n, T first = 0) {
  std::vector<T> v(n);
  std::iota(v.begin(), v.end(), first);
  return v;
}

template <class T>
void check_round_trip(File& file) {
  const auto bytes = iota<std::uint8_t>(6 * sizeof(T), 0x11);  // any bits must survive
  std::vector<T> data(6);
  std::memcpy(data.data(), bytes.data(), bytes.size());
  const std::string name{name_of(kDTypeOf<T>)};
  file.create_dataset(name, kDTypeOf<T>, Shape{2, 3}).write(view_of(data, Shape{2, 3}));
  const Dataset dataset = file.dataset(name);
  BOOST_TEST((dataset.dtype() == kDTypeOf<T>));
  BOOST_TEST((dataset.shape() == Shape{2, 3}));
  std::vector<T> back(6);
  dataset.read(view_of(back, Shape{2, 3}));
  BOOST_TEST(std::memcmp(back.data(), bytes.data(), bytes.size()) == 0, name);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_type_comes_back_bit_for_bit) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  check_round_trip<float>(file);
  check_round_trip<double>(file);
  check_round_trip<Half>(file);
  check_round_trip<Bf16>(file);
  check_round_trip<std::int32_t>(file);
  check_round_trip<std::int64_t>(file);
  check_round_trip<std::uint8_t>(file);
  check_round_trip<std::uint16_t>(file);
  check_round_trip<std::uint32_t>(file);
  check_round_trip<std::uint64_t>(file);
}

BOOST_AUTO_TEST_CASE(narrow_types_widen_and_wide_ones_are_refused) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  std::vector<Bf16> brain{Bf16(1.5F), Bf16(-3e38F), Bf16(0.0F)};
  std::vector<Half> half(2);
  half[0].bits = 0x3c00;  // 1
  half[1].bits = 0xc500;  // -5
  std::vector<std::uint16_t> tokens{0, 65535};
  file.create_dataset("brain", DType::bf16, Shape{3}).write(view_of(brain));
  file.create_dataset("half", DType::f16, Shape{2}).write(view_of(half));
  file.create_dataset("tokens", DType::u16, Shape{2}).write(view_of(tokens));
  std::vector<float> three(3);
  file.dataset("brain").read(view_of(three));
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(three[i] == static_cast<float>(brain[i]));
  std::vector<double> two(2);
  file.dataset("half").read(view_of(two));
  BOOST_TEST(two == (std::vector<double>{1, -5}), boost::test_tools::per_element());
  std::vector<std::int32_t> ids(2);
  file.dataset("tokens").read(view_of(ids));
  BOOST_TEST(ids == (std::vector<std::int32_t>{0, 65535}), boost::test_tools::per_element());
  BOOST_CHECK_THROW(file.dataset("tokens").read(view_of(two)), Error);
  std::vector<std::uint8_t> bytes(2);
  TRM_TEST_MENTIONS(error_of([&] { file.dataset("tokens").read(view_of(bytes)); }), "/tokens");
  BOOST_CHECK_THROW(file.dataset("tokens").write(view_of(ids)), Error);
}

BOOST_AUTO_TEST_CASE(boxes_and_strided_views) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  Dataset whole = file.create_dataset("m/x", DType::i32, Shape{4, 5, 6});
  auto all = iota<std::int32_t>(120);
  whole.write(view_of(all, Shape{4, 5, 6}));

  const Box box(Shape{1, 2, 3}, Shape{2, 3, 2});
  std::vector<std::int32_t> padded(6 * 7, -1);  // 6 rows of 2 columns, 7 apart
  whole.read(box, View(padded.data(), DType::i32, Shape{2, 3, 2}, 7));
  for (int r = 0; r < 6; ++r) {
    for (int c = 0; c < 7; ++c) {
      const int expected = c < 2 ? (1 + r / 3) * 30 + (2 + r % 3) * 6 + 3 + c : -1;
      BOOST_TEST(padded[static_cast<std::size_t>(r * 7 + c)] == expected);
    }
  }

  std::vector<std::int32_t> flat{900, 901, 902, 903};  // 1-D memory fits a 3-D box
  whole.write(Box(Shape{0, 0, 0}, Shape{1, 2, 2}), view_of(flat));
  whole.read(view_of(all, Shape{4, 5, 6}));
  BOOST_TEST(all[0] == 900);
  BOOST_TEST(all[1] == 901);
  BOOST_TEST(all[2] == 2);
  BOOST_TEST(all[6] == 902);
  BOOST_TEST(all[7] == 903);

  const ConstView strided(padded.data() + 7, DType::i32, Shape{2, 2}, 14);  // rows 1 and 3
  whole.write(Box(Shape{3, 0, 0}, Shape{1, 2, 2}), strided);
  whole.read(Box(Shape{3, 0, 0}, Shape{1, 2, 2}), view_of(flat));
  BOOST_TEST(flat == (std::vector<std::int32_t>{padded[7], padded[8], padded[21], padded[22]}),
             boost::test_tools::per_element());

  BOOST_CHECK_THROW(whole.read(Box(Shape{3, 0, 0}, Shape{2, 2, 1}), view_of(flat)), Error);
  BOOST_CHECK_THROW(whole.read(Box(Shape{0, 0, 0}, Shape{1, 1, 3}), view_of(flat)), Error);
  BOOST_CHECK_THROW(whole.read(Box(Shape{0}, Shape{4}), view_of(flat)), Error);
  whole.read(Box(Shape{4, 0, 0}, Shape{0, 2, 2}),
             View(flat.data(), DType::i32, Shape{0, 2, 2}));
}

BOOST_AUTO_TEST_CASE(scalar_and_empty_arrays) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  std::vector<double> one{2.5};
  file.create_dataset("scalar", DType::f64, Shape{}).write(view_of(one, Shape{}));
  file.create_dataset("empty", DType::f64, Shape{0, 3}, {.checksum = true});
  one[0] = 0;
  file.dataset("scalar").read(view_of(one, Shape{}));
  BOOST_TEST(one[0] == 2.5);
  BOOST_TEST((file.dataset("empty").shape() == Shape{0, 3}));
}

BOOST_AUTO_TEST_CASE(growing_and_cutting_back) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    File file(path, Mode::create);
    Dataset loss = file.create_dataset("train/loss", DType::f64, Shape{0},
                                       {.extendable = true, .chunk = 4, .checksum = true});
    auto values = iota<double>(3);
    loss.append(view_of(values));
    values = iota<double>(7, 3);
    loss.append(view_of(values));
    BOOST_TEST((loss.shape() == Shape{10}));
  }
  {
    File file(path, Mode::read_write);
    Dataset loss = file.dataset("train/loss");
    loss.resize(5);
    std::vector<double> value{50};
    loss.append(view_of(value));
    loss.resize(8);
    file.flush();
    std::vector<double> back(8);
    File(path, Mode::read_write).dataset("train/loss").read(view_of(back));
    BOOST_TEST(back == (std::vector<double>{0, 1, 2, 3, 4, 50, 0, 0}),
               boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_flushed_file_is_readable_by_another_program_while_open) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  Dataset d = file.create_dataset("x", DType::i32, Shape{0}, {.extendable = true});
  auto values = iota<std::int32_t>(5);
  d.append(view_of(values));
  file.flush();
  // A copy of the file has what another program would find on disk at this moment.
  std::filesystem::copy_file(folder / "a.h5", folder / "b.h5");
  std::vector<std::int32_t> back(5);
  File(folder / "b.h5", Mode::read).dataset("x").read(view_of(back));
  BOOST_TEST(back == values, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(attributes) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  Group group = file.create_group("a/b");
  Dataset dataset = group.create_dataset("x", DType::f32, Shape{1});
  const std::string text(200'000, 'z');
  const std::vector<std::int64_t> list{-1, 1LL << 40, 3};
  for (h5::Object* object : {static_cast<h5::Object*>(&file), static_cast<h5::Object*>(&group),
                             static_cast<h5::Object*>(&dataset)}) {
    object->set_attribute("n", 7);
    object->set_attribute("n", -(1LL << 62));
    object->set_attribute("r", 0.1);
    object->set_attribute("long", text);
    object->set_attribute("name", "µ-text");
    object->set_attribute("none", "");
    object->set_attribute("list", list);
    object->set_attribute("empty list", std::vector<std::int64_t>{});
    BOOST_TEST(object->integer("n") == -(1LL << 62));
    BOOST_TEST(object->number("r") == 0.1);
    BOOST_TEST((object->text("long") == text));
    BOOST_TEST(object->text("name") == "µ-text");
    BOOST_TEST(object->text("none").empty());
    BOOST_TEST(object->integers("list") == list, boost::test_tools::per_element());
    BOOST_TEST(object->integers("empty list").empty());
    BOOST_TEST(object->has_attribute("r"));
    BOOST_TEST(!object->has_attribute("s"));
    BOOST_TEST(object->attribute_names().size() == 7U);
  }
  TRM_TEST_MENTIONS(error_of([&] { (void)dataset.integer("r"); }), "a.h5: /a/b/x");
  TRM_TEST_MENTIONS(error_of([&] { (void)file.integer("gone"); }), "gone");
  BOOST_CHECK_THROW((void)file.text("n"), Error);
  BOOST_CHECK_THROW((void)file.integer("list"), Error);
  BOOST_CHECK_THROW(file.set_attribute("nul", std::string("a\0b", 3)), Error);
}

BOOST_AUTO_TEST_CASE(names_and_existence) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  file.create_dataset("g/h/x", DType::f32, Shape{1});
  file.create_group("/g/empty/");
  BOOST_TEST(file.has("g"));
  BOOST_TEST(file.has("g/h/x"));
  BOOST_TEST(file.has("/"));
  BOOST_TEST(!file.has("g/k/x"));
  BOOST_TEST(!file.has("g/h/x/y"));
  BOOST_TEST(file.has_dataset("g/h/x"));
  BOOST_TEST(!file.has_dataset("g/h"));
  BOOST_TEST(file.group("g").names() == (std::vector<std::string>{"empty", "h"}),
             boost::test_tools::per_element());
  BOOST_TEST(file.group("g").has("h/x"));
  file.group("g").remove("h");
  BOOST_TEST(!file.has("g/h"));
  BOOST_CHECK_THROW(file.create_dataset("g", DType::f32, Shape{1}), Error);
  TRM_TEST_MENTIONS(error_of([&] { (void)file.group("g").dataset("y"); }), "/g/y");
}

BOOST_AUTO_TEST_CASE(closing_is_refused_while_parts_are_in_use) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  {
    const Group g = file.create_group("g");
    BOOST_CHECK_THROW(file.close(), Error);
  }
  file.close();
  BOOST_CHECK_THROW(file.flush(), Error);
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_opened) {
  const TemporaryFolder folder;
  const auto open = [](const std::string& path) {
    return error_of([&] { File(path, Mode::read); });
  };
  TRM_TEST_MENTIONS(open(folder / "none.h5"), "none.h5: cannot open: No such file");
  TRM_TEST_MENTIONS(open(folder / "."), "folder");
  std::ofstream(folder / "text.h5") << "hello, this is not what you are looking for";
  TRM_TEST_MENTIONS(open(folder / "text.h5"), "not an HDF5 file");
  std::ofstream(folder / "empty.h5");
  TRM_TEST_MENTIONS(open(folder / "empty.h5"), "not an HDF5 file");
  TRM_TEST_MENTIONS(error_of([&] { File(folder / "no/such/x.h5", Mode::create); }),
                    "cannot create: No such file");

  const std::string whole = folder / "whole.h5";
  {
    File file(whole, Mode::create);
    auto data = iota<std::int64_t>(1000);
    file.create_dataset("x", DType::i64, Shape{1000}).write(view_of(data));
  }
  std::filesystem::resize_file(whole, std::filesystem::file_size(whole) - 1);
  TRM_TEST_MENTIONS(open(whole), "whole.h5: cannot open: truncated file");
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_is_seen_where_there_is_a_checksum) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  std::vector<std::uint8_t> data(5000, 0xab);
  {
    File file(path, Mode::create);
    file.create_dataset("x", DType::u8, Shape{5000}, {.checksum = true}).write(view_of(data));
  }
  {
    std::fstream raw(path, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(raw)), {});
    raw.clear();
    raw.seekp(static_cast<std::streamoff>(bytes.find(std::string(100, '\xab')) + 50));
    raw.put('\xaa');
  }
  const File file(path, Mode::read);
  TRM_TEST_MENTIONS(error_of([&] { file.dataset("x").read(view_of(data)); }), "a.h5: /x");
}

BOOST_AUTO_TEST_CASE(a_write_that_fails_says_why_in_one_line) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  std::vector<double> data(100'000);
  Dataset d = file.create_dataset("x", DType::f64, Shape{100'000});
  // A limit on a file's size stands for a full disk.
  rlimit before{};
  BOOST_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{20'000, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto failure = failure_of([&] { d.write(view_of(data)); });
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  BOOST_REQUIRE(failure.has_value());
  BOOST_TEST(std::string(failure->what()) ==
             (folder / "a.h5") + ": /x: cannot write: File too large");
  BOOST_TEST(failure->system_error() == EFBIG);
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_full_at_the_close_is_the_reason) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  std::vector<double> data(4'000);
  rlimit before{};
  BOOST_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{4'096, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  {  // the library keeps the chunk in memory, and then the dataset open
    Dataset d = file.create_dataset("x", DType::f64, Shape{4'000}, {.chunk = 4'000});
    d.write(view_of(data));
  }
  const auto failure = failure_of([&] { file.close(); });
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  BOOST_REQUIRE(failure.has_value());
  BOOST_TEST(std::string(failure->what()) ==
             (folder / "a.h5") + ": cannot write to disk: File too large");
  BOOST_TEST((failure->kind() == ErrorKind::disk_full));
}

BOOST_AUTO_TEST_CASE(the_reason_of_the_system_stays_with_the_error) {
  const TemporaryFolder folder;
  const std::string path = folder / "errno = 7, error message = 'a name'.h5";
  const auto missing = failure_of([&] { File(path, Mode::read); });
  BOOST_TEST((missing && missing->system_error() == ENOENT));
  File(path, Mode::create).create_group("g");
  // HDF5 itself fails at the next file, since no descriptor is left for another open file.
  rlimit before{};
  BOOST_REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  BOOST_REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto busy = failure_of([&] { File(path, Mode::read); });
  BOOST_REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  BOOST_REQUIRE(busy.has_value());
  TRM_TEST_MENTIONS(busy->what(), "Too many open files");
  BOOST_TEST(busy->system_error() == EMFILE);
  BOOST_TEST((busy->kind() == ErrorKind::unavailable));
}

BOOST_AUTO_TEST_CASE(compressed_arrays) {
  const TemporaryFolder folder;
  File file(folder / "a.h5", Mode::create);
  std::vector<float> zeros(1 << 18);
  zeros[77] = 3;
  Dataset d = file.create_dataset("x", DType::f32, Shape{1 << 9, 1 << 9}, {.deflate = 3});
  d.write(view_of(zeros, Shape{1 << 9, 1 << 9}));
  std::vector<float> back(zeros.size());
  d.read(view_of(back, Shape{1 << 9, 1 << 9}));
  BOOST_TEST((back == zeros));
  file.flush();
  BOOST_TEST(std::filesystem::file_size(folder / "a.h5") < zeros.size());
}

BOOST_AUTO_TEST_CASE(equal_calls_make_equal_bytes) {
  const TemporaryFolder folder;
  const auto make = [](const std::string& path) {
    File file(path, Mode::create);
    std::vector<std::int32_t> data(100, 5);
    file.create_dataset("g/x", DType::i32, Shape{0}, {.extendable = true, .chunk = 64})
        .append(view_of(data));
    file.set_attribute("text", "some");
    file.close();
    std::ifstream in(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), {});
  };
  const std::string first = make(folder / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // stamps count seconds
  BOOST_TEST((first == make(folder / "b.h5")));
}

BOOST_AUTO_TEST_CASE(threads_may_share_the_library) {
  const TemporaryFolder folder;
  {
    File file(folder / "in.h5", Mode::create);
    auto data = iota<std::int32_t>(10'000);
    file.create_dataset("x", DType::i32, Shape{10'000}, {.chunk = 100}).write(view_of(data));
  }
  std::int64_t sum = 0;
  std::thread reader([&] {
    const File file(folder / "in.h5", Mode::read);
    const Dataset d = file.dataset("x", 0);
    std::vector<std::int32_t> row(100);
    for (int i = 0; i < 100; ++i) {
      d.read(Box(Shape{i * 100}, Shape{100}), view_of(row));
      sum = std::accumulate(row.begin(), row.end(), sum);
    }
  });
  File out(folder / "out.h5", Mode::create);
  Dataset d = out.create_dataset("y", DType::i32, Shape{0}, {.extendable = true});
  for (std::int32_t i = 0; i < 100; ++i) {
    std::vector<std::int32_t> one{i};
    d.append(view_of(one));
    out.flush();
  }
  reader.join();
  BOOST_TEST(sum == 10'000LL * 9'999 / 2);
  BOOST_TEST((d.shape() == Shape{100}));
}
