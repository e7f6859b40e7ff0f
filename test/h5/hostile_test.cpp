// SPDX-License-Identifier: Apache-2.0
// Files made by others: they open no other file, and no object passes for another.
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "trireme/h5/file.hpp"

#include "../../src/h5/library.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;
using h5::File;
using h5::Id;
using h5::Mode;
using test::error_of;
using test::TemporaryFolder;

namespace {

const std::array<float, 2> kSecret{41, 42};

/// Writes the file that must not be opened, and returns its path.
std::string make_secret(const TemporaryFolder& folder) {
  const std::string path = folder / "elsewhere/secret.h5";
  std::filesystem::create_directory(folder / "elsewhere");
  std::filesystem::create_directory(folder / "run");
  File(path, Mode::create)
      .create_dataset("x", DType::f32, Shape{2})
      .write(ConstView(kSecret.data(), DType::f32, Shape{2}));
  return path;
}

/// Writes run/a.h5 by calls of the library, on the file's identifier.
template <class Make>
std::string make(const TemporaryFolder& folder, Make f) {
  const std::string path = folder / "run/a.h5";
  const auto lock = h5::enter();
  const Id file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose};
  f(file.operator hid_t());
  return path;
}

std::string reading(const std::string& path) {
  return error_of([&] {
    const File file(path, Mode::read);
    std::array<float, 2> got{};
    file.dataset("x").read(View(got.data(), DType::f32, Shape{2}));
  });
}

/// Dataset x, of two numbers, with these properties of creation.
void create_x(hid_t file, hid_t creation) {
  const hsize_t two = 2;
  const Id space{H5Screate_simple(1, &two, nullptr), H5Sclose};
  const Id x{H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT),
             H5Dclose};
  BOOST_REQUIRE(x.operator hid_t() >= 0);
}

/// A link `name` to dataset x of another file, as h5py would make it.
void link_out(hid_t file, const char* name, const std::string& target) {
  H5L_class_t kind{};
  kind.version = H5L_LINK_CLASS_T_VERS;
  kind.id = H5L_TYPE_EXTERNAL;
  kind.trav_func = [](const char*, hid_t, const void*, std::size_t, hid_t, hid_t) -> hid_t {
    return -1;
  };
  BOOST_REQUIRE(H5Lregister(&kind) >= 0);
  const std::string packed = std::string(1, '\0') + target + std::string("\0x", 3);
  BOOST_REQUIRE(H5Lcreate_ud(file, name, H5L_TYPE_EXTERNAL, packed.data(), packed.size(),
                             H5P_DEFAULT, H5P_DEFAULT) >= 0);
  H5Lunregister(H5L_TYPE_EXTERNAL);
}

}  // namespace

BOOST_AUTO_TEST_CASE(links_to_other_files) {
  const TemporaryFolder folder;
  const std::string secret = make_secret(folder);
  const std::string path = make(folder, [&](hid_t file) { link_out(file, "x", secret); });
  TRM_TEST_MENTIONS(reading(path), "/x: it is a link");
  const File file(path, Mode::read);
  BOOST_TEST(file.is_link("x"));
  BOOST_TEST(!file.has_dataset("x"));
  BOOST_TEST(!file.has("x/y"));
  TRM_TEST_MENTIONS(error_of([&] { (void)file.link_target("x"); }), "leads to another file");
  TRM_TEST_MENTIONS(error_of([&] { (void)file.group("x"); }), "is a link");
}

BOOST_AUTO_TEST_CASE(elements_in_other_files) {
  const TemporaryFolder folder;
  const std::string secret = make_secret(folder);
  for (const std::string& target : {secret, std::string("secret.bin")}) {
    const std::string path = make(folder, [&](hid_t file) {
      const Id creation = h5::properties(H5P_DATASET_CREATE);
      H5Pset_external(creation, target.c_str(), 0, 8);
      create_x(file, creation);
    });
    TRM_TEST_MENTIONS(reading(path), "/x: its elements are in other files");
  }
}

BOOST_AUTO_TEST_CASE(sources_outside_of_the_folder) {
  const TemporaryFolder folder;
  const std::string secret = make_secret(folder);
  const hsize_t two = 2;
  const Id space{H5Screate_simple(1, &two, nullptr), H5Sclose};
  for (const std::string& source :
       {secret, std::string("../elsewhere/secret.h5"), std::string("sub/secret.h5"),
        std::string("."), std::string("..")}) {
    const std::string path = make(folder, [&](hid_t file) {
      const Id creation = h5::properties(H5P_DATASET_CREATE);
      H5Pset_virtual(creation, space, source.c_str(), "x", space);
      create_x(file, creation);
    });
    TRM_TEST_MENTIONS(reading(path), "/x: a source is not a file of its folder");
  }
}

BOOST_AUTO_TEST_CASE(sources_that_the_library_would_open_for_their_shape) {
  const TemporaryFolder folder;
  make_secret(folder);
  for (const char* source : {"b.h5", "b%b.h5"}) {
    const std::string path = make(folder, [&](hid_t file) {
      const Id creation = h5::properties(H5P_DATASET_CREATE);
      const hsize_t zero = 0;
      const hsize_t one = 1;
      const hsize_t unlimited = H5S_UNLIMITED;
      const hsize_t two = 2;
      const Id space{H5Screate_simple(1, &two, &unlimited), H5Sclose};
      const Id part{H5Screate_simple(1, &one, &unlimited), H5Sclose};
      H5Sselect_hyperslab(space, H5S_SELECT_SET, &zero, &one, &unlimited, &one);
      if (std::strchr(source, '%') == nullptr) {
        H5Sselect_hyperslab(part, H5S_SELECT_SET, &zero, &one, &unlimited, &one);
      }
      BOOST_REQUIRE(H5Pset_virtual(creation, space, source, "x", part) >= 0);
      const Id x{
          H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT),
          H5Dclose};
      BOOST_REQUIRE(x.operator hid_t() >= 0);
    });
    TRM_TEST_MENTIONS(reading(path), "/x: ");
    TRM_TEST_MENTIONS(reading(path), "source");
  }
}

BOOST_AUTO_TEST_CASE(filters_that_others_bring) {
  const TemporaryFolder folder;
  make_secret(folder);
  const std::string path = make(folder, [&](hid_t file) {
    const Id creation = h5::properties(H5P_DATASET_CREATE);
    const hsize_t one = 1;
    H5Pset_chunk(creation, 1, &one);
    H5Pset_filter(creation, 32001, H5Z_FLAG_OPTIONAL, 0, nullptr);
    create_x(file, creation);
  });
  TRM_TEST_MENTIONS(reading(path), "/x: it has filter 32001");
}

BOOST_AUTO_TEST_CASE(objects_of_two_names) {
  const TemporaryFolder folder;
  make_secret(folder);
  const std::string path = make(folder, [&](hid_t file) {
    create_x(file, H5P_DEFAULT);
    H5Lcreate_hard(file, "x", file, "y", H5P_DEFAULT, H5P_DEFAULT);
  });
  TRM_TEST_MENTIONS(reading(path), "one of several names");
}
