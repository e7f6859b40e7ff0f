// SPDX-License-Identifier: Apache-2.0
// Virtual datasets: boxes of other files' datasets as one array.
#include "virtual.hpp"

#include <array>
#include <cstring>
#include <limits>

#include "trireme/h5/file.hpp"

#include "library.hpp"
#include "space.hpp"

namespace trireme::h5 {

namespace {

/// HDF5 replaces "%b" in a source's name by the number of a block, and "%%" by "%".
std::string escaped(const std::string& name) {
  std::string out;
  for (const char c : name) out.append(c == '%' ? 2 : 1, c);
  return out;
}

std::string unescaped(const std::string& name, const std::string& where) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '%') {
      ++i;
      TRM_REQUIRE(i < name.size() && name[i] == '%',
                  "{}: its source {} stands for several, which Trireme lacks", where, name);
    }
    out += name[i];
  }
  return out;
}

using Bytes = std::array<std::byte, 8>;

template <class T>
Bytes bytes_of(T value) {
  Bytes out{};
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

/// A value that can't be mistaken for a stored element.
Bytes missing_value(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return bytes_of(std::numeric_limits<float>::quiet_NaN());
    case DType::f64:
      return bytes_of(std::numeric_limits<double>::quiet_NaN());
    case DType::f16:
      return bytes_of(std::uint16_t{0x7e00});
    case DType::bf16:
      return bytes_of(std::uint16_t{0x7fc0});
    case DType::i32:
      return bytes_of(std::numeric_limits<std::int32_t>::max());
    case DType::i64:
      return bytes_of(std::numeric_limits<std::int64_t>::max());
    case DType::u8:
    case DType::u16:
    case DType::u32:
    case DType::u64:
      return bytes_of(std::numeric_limits<std::uint64_t>::max());
  }
  TRM_CHECK(false, "dtype {}", static_cast<int>(dtype));
}

/// The selection as a box; throws Error if the selection is no box inside of `whole`.
Box box_of(hid_t space, const Shape& whole, const std::string& where) {
  const auto refuse = [&](bool fine) {
    TRM_REQUIRE(fine, "{}: a source is not a box inside of {}, or damaged", where, whole.str());
  };
  refuse(H5Sget_simple_extent_ndims(space) == whole.rank());
  const H5S_sel_type kind = H5Sget_select_type(space);
  if (kind == H5S_SEL_ALL) return Box::whole(whole);
  refuse(kind == H5S_SEL_HYPERSLABS && H5Sis_regular_hyperslab(space) > 0);
  Lengths start{};
  Lengths stride{};
  Lengths count{};
  Lengths block{};
  checked(
      H5Sget_regular_hyperslab(space, start.data(), stride.data(), count.data(), block.data()),
      where, "read its sources");
  Box box = Box::whole(whole);
  for (int axis = 0; axis < whole.rank(); ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    const auto room = static_cast<hsize_t>(whole[axis]);
    // Check each number alone first, so that nothing overflows: extents are below 2⁵⁹.
    refuse(start[i] <= room && count[i] >= 1 && count[i] <= room && block[i] >= 1 &&
           block[i] <= room && (count[i] == 1 || stride[i] == block[i]) &&
           count[i] <= (room - start[i]) / block[i]);
    box.offset[axis] = static_cast<std::int64_t>(start[i]);
    box.extent[axis] = static_cast<std::int64_t>(count[i] * block[i]);
  }
  return box;
}

template <class Get>
std::string name_of_source(Get get, hid_t creation, std::size_t i, const std::string& where) {
  std::string name(static_cast<std::size_t>(
                       checked(get(creation, i, nullptr, 0), where, "read its sources")),
                   '\0');
  checked(get(creation, i, name.data(), name.size() + 1), where, "read its sources");
  return unescaped(name, where);
}

}  // namespace

void require_sources_beside(hid_t creation, const std::string& where) {
  std::size_t count = 0;
  checked(H5Pget_virtual_count(creation, &count), where, "count its sources");
  for (std::size_t i = 0; i < count; ++i) {
    const std::string file = name_of_source(H5Pget_virtual_filename, creation, i, where);
    TRM_REQUIRE(!file.empty() && file.find_first_of(std::string_view("/\0", 2)) == file.npos &&
                    file != "." && file != "..",
                "{}: a source is not a file of its folder, which Trireme refuses", where);
    const Id place{checked(H5Pget_virtual_vspace(creation, i), where, "read its sources"),
                   H5Sclose};
    // For a selection without limit, the library would open the source to know the shape.
    TRM_REQUIRE(H5Sget_select_npoints(place) >= 0,
                "{}: a source has no limit, which Trireme refuses", where);
  }
}

Dataset Group::create_virtual_dataset(const std::string& name, DType dtype, const Shape& shape,
                                      const std::vector<Source>& sources) {
  const auto lock = enter();
  const std::string full = name_of_member(name);
  TRM_CHECK(shape.rank() > 0, "{}: a virtual dataset of no axes", full);
  make_way(name);
  const Id creation = properties(H5P_DATASET_CREATE);
  checked(H5Pset_obj_track_times(creation, 0), path_, "switch time stamps off");
  // Set the layout even without sources, which would give an ordinary dataset.
  checked(H5Pset_layout(creation, H5D_VIRTUAL), path_, "make a virtual dataset");
  const Bytes missing = missing_value(dtype);
  checked(H5Pset_fill_value(creation, memory_type(dtype), missing.data()), path_,
          "set the value of what is missing");
  const Id space = make_space(shape);
  for (const Source& s : sources) {
    TRM_CHECK(s.box.inside(shape) && s.box.count() > 0, "{}: a source at {} of {} in {}", full,
              s.box.offset.str(), s.box.extent.str(), shape.str());
    select(space, s.box, path_);
    const Id source = make_space(s.box.extent);
    checked(H5Pset_virtual(creation, space, escaped(s.file).c_str(), escaped(s.dataset).c_str(),
                           source),
            path_, fmt::format("add a source to {}", full));
  }
  const hid_t made = H5Dcreate2(id(), name.c_str(), file_type(dtype), make_space(shape),
                                H5P_DEFAULT, creation, H5P_DEFAULT);
  checked(made, path_, fmt::format("create dataset {}", full));
  return {std::make_shared<Handle>(made, H5Dclose), path_, full};
}

std::vector<Source> Dataset::sources() const {
  const auto lock = enter();
  const std::string at = where();
  const Id creation{checked(H5Dget_create_plist(id()), at, "read its properties"), H5Pclose};
  if (H5Pget_layout(creation) != H5D_VIRTUAL) return {};
  const Shape whole = shape();
  std::size_t count = 0;
  checked(H5Pget_virtual_count(creation, &count), at, "count its sources");
  std::vector<Source> out;
  out.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Id place{checked(H5Pget_virtual_vspace(creation, i), at, "read its sources"),
                   H5Sclose};
    const Id part{checked(H5Pget_virtual_srcspace(creation, i), at, "read its sources"),
                  H5Sclose};
    TRM_REQUIRE(H5Sget_select_type(part) == H5S_SEL_ALL,
                "{}: a source is not all of a dataset, which Trireme lacks", at);
    out.push_back({name_of_source(H5Pget_virtual_filename, creation, i, at),
                   name_of_source(H5Pget_virtual_dsetname, creation, i, at),
                   box_of(place, whole, at)});
  }
  return out;
}

}  // namespace trireme::h5
