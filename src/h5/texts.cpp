// SPDX-License-Identifier: Apache-2.0
// Datasets of texts.
#include <algorithm>

#include "trireme/h5/file.hpp"

#include "library.hpp"

namespace trireme::h5 {

void Group::write_texts(const std::string& name, const std::vector<std::string>& texts) {
  const auto lock = enter();
  const std::string at = path_ + ": " + name_of_member(name);
  std::size_t width = 1;
  for (const std::string& t : texts) width = std::max(width, t.size());
  std::string packed(width * texts.size(), '\0');
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::ranges::copy(texts[i], packed.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  const Id type{checked(H5Tcopy(H5T_C_S1), at, "make a text type"), H5Tclose};
  checked(H5Tset_size(type, width), at, "make a text type");
  checked(H5Tset_cset(type, H5T_CSET_UTF8), at, "make a text type");
  checked(H5Tset_strpad(type, H5T_STR_NULLPAD), at, "make a text type");
  const hsize_t count = texts.size();
  const Id space{checked(H5Screate_simple(1, &count, nullptr), at, "make a space"), H5Sclose};
  const Id links = properties(H5P_LINK_CREATE);
  checked(H5Pset_create_intermediate_group(links, 1), at, "make groups");
  const Id creation = properties(H5P_DATASET_CREATE);
  checked(H5Pset_obj_track_times(creation, false), at, "leave out time stamps");
  const Id dataset{checked(H5Dcreate2(static_cast<hid_t>(id()), name.c_str(), type, space,
                                      links, creation, H5P_DEFAULT),
                           at, "create the dataset"),
                   H5Dclose};
  checked(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed.data()), at, "write");
}

std::vector<std::string> Group::read_texts(const std::string& name) const {
  const auto lock = enter();
  const std::string at = path_ + ": " + name_of_member(name);
  const Id dataset{checked(H5Dopen2(static_cast<hid_t>(id()), name.c_str(), H5P_DEFAULT), at,
                           "open the dataset"),
                   H5Dclose};
  const Id type{checked(H5Dget_type(dataset), at, "read the type"), H5Tclose};
  const Id space{checked(H5Dget_space(dataset), at, "read the space"), H5Sclose};
  const bool fixed = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
  TRM_REQUIRE(fixed && H5Sget_simple_extent_ndims(space) == 1,
              "{}: expected a list of texts of one width", at);
  const std::size_t width = H5Tget_size(type);
  const auto count = static_cast<std::size_t>(H5Sget_simple_extent_npoints(space));
  constexpr std::size_t kMostBytes = std::size_t{1} << 28U;
  TRM_REQUIRE(width > 0 && count <= kMostBytes / width,
              "{}: {} texts of {} bytes are more than this program reads", at, count, width);
  std::string packed(width * count, '\0');
  checked(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed.data()), at, "read");
  std::vector<std::string> texts(count);
  for (std::size_t i = 0; i < count; ++i) {
    texts[i] = packed.substr(i * width, width);
    texts[i].resize(std::min(width, texts[i].find('\0')));
  }
  return texts;
}

}  // namespace trireme::h5
